/* A V4L2 camera for a machine without one, as a library for LD_PRELOAD.
 *
 *     cc -shared -fPIC -O2 -o fake_camera.so fake_camera.c -ldl
 *
 * FAKE_CAMERA          path the camera appears under, needs no file there (default /dev/video0)
 * FAKE_CAMERA_IMAGE    raw YUYV pictures of the size in use, shown in turn (default: a moving grey ramp)
 * FAKE_CAMERA_CONTROL  a file read on every open and ioctl, words of it as follows; empty or absent: all is well
 *     unplugged        open gives ENOENT; a camera already open gives ENODEV, and does so for good
 *     stalled          no frame comes any more
 *     WIDTHxHEIGHT     the size the driver has at the next open, until someone sets another
 *
 * Like uvcvideo it fills the queued buffers in order at the camera's own pace, however slowly they are read, and
 * loses frames when none is queued. poll() and read() on the camera are not faked: libavdevice uses neither.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#define CAMERAS 8
/* What videobuf2 grants to whoever asks for more. */
#define BUFFERS 32
#define SECOND 1000000000LL
/* How soon a blocked reader notices a change of the control file. */
#define SLICE 5000000LL

struct size {
    uint32_t width, height;
};

static const struct size sizes[] = {{160, 120}, {320, 240}, {640, 480}, {1280, 720}};
#define SIZES (sizeof sizes / sizeof *sizes)

enum place { WITH_PROGRAM, QUEUED, FILLED };

struct buffer {
    enum place place;
    /* Tells which of those in the same place is the oldest. */
    uint64_t order;
    uint32_t sequence;
    int64_t time;
};

struct camera {
    /* A memfd that holds the buffers, so that mmap and munmap need no help. */
    int fd;
    bool open, gone, streaming;
    /* Tells a camera from a later one that got the same place while a thread waited. */
    uint64_t generation;
    struct size size;
    int64_t period, next_frame;
    uint32_t sequence, buffers;
    uint64_t orders;
    size_t stride, mapped;
    uint8_t *memory, *image;
    size_t images;
    struct buffer buffer[BUFFERS];
};

struct faults {
    bool unplugged, stalled;
    struct size size;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct camera cameras[CAMERAS];
static uint64_t generations;
/* A driver remembers the format from one program to the next. */
static struct size driver_size = {320, 240};

/* Declares `next`, the function that this one stands in front of. */
#define NEXT(function)                                                                              \
    __typeof__(function) *next;                                                                     \
    do {                                                                                            \
        void *found_ = dlsym(RTLD_NEXT, #function);                                                 \
        if (!found_)                                                                                \
            return fail(ENOSYS);                                                                    \
        memcpy(&next, &found_, sizeof next);                                                        \
    } while (0)

static int fail(int error)
{
    errno = error;
    return -1;
}

static const char *camera_path(void)
{
    const char *path = getenv("FAKE_CAMERA");
    return path && *path ? path : "/dev/video0";
}

static bool is_camera_path(int directory, const char *path)
{
    return path && (directory == AT_FDCWD || *path == '/') && strcmp(path, camera_path()) == 0;
}

static int64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * SECOND + time.tv_nsec;
}

static struct faults read_faults(void)
{
    struct faults faults = {0};
    const char *path = getenv("FAKE_CAMERA_CONTROL");
    FILE *file = path && *path ? fopen(path, "re") : NULL;
    if (!file)
        return faults;
    char word[64];
    while (fscanf(file, "%63s", word) == 1) {
        struct size size;
        if (strcmp(word, "unplugged") == 0)
            faults.unplugged = true;
        else if (strcmp(word, "stalled") == 0)
            faults.stalled = true;
        else if (sscanf(word, "%ux%u", &size.width, &size.height) == 2)
            faults.size = size;
        else
            fprintf(stderr, "fake_camera: unknown word in %s: %s\n", path, word);
    }
    fclose(file);
    return faults;
}

/* Like uvcvideo: the size whose area differs least from what was asked. */
static struct size nearest_size(uint32_t width, uint32_t height)
{
    struct size best = sizes[0];
    int64_t least = INT64_MAX;
    for (size_t i = 0; i < SIZES; i++) {
        int64_t difference = (int64_t)sizes[i].width * sizes[i].height - (int64_t)width * height;
        if (llabs(difference) < least) {
            least = llabs(difference);
            best = sizes[i];
        }
    }
    return best;
}

static size_t picture_bytes(struct size size)
{
    return (size_t)size.width * size.height * 2;
}

static struct camera *find_camera(int fd)
{
    for (int i = 0; i < CAMERAS; i++)
        if (cameras[i].open && cameras[i].fd == fd)
            return &cameras[i];
    return NULL;
}

/* -- opening and closing -- */

static int open_camera(int flags)
{
    struct faults faults = read_faults();
    if (faults.unplugged)
        return fail(ENOENT);
    pthread_mutex_lock(&lock);
    struct camera *camera = NULL;
    for (int i = 0; i < CAMERAS && !camera; i++)
        if (!cameras[i].open)
            camera = &cameras[i];
    int fd = camera ? memfd_create("fake camera", flags & O_CLOEXEC ? MFD_CLOEXEC : 0) : fail(EMFILE);
    if (fd >= 0) {
        /* The flag lives in the descriptor, so that fcntl works on it too. */
        if (flags & O_NONBLOCK)
            fcntl(fd, F_SETFL, O_NONBLOCK);
        if (faults.size.width)
            driver_size = nearest_size(faults.size.width, faults.size.height);
        *camera = (struct camera){
            .fd = fd, .open = true, .generation = ++generations, .size = driver_size, .period = SECOND / 30};
    }
    pthread_mutex_unlock(&lock);
    return fd;
}

static void forget_camera(struct camera *camera)
{
    if (camera->memory)
        munmap(camera->memory, camera->mapped);
    free(camera->image);
    *camera = (struct camera){0};
}

static bool needs_mode(int flags)
{
    return flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE;
}

#define OPEN(name)                                                                                  \
    int name(const char *path, int flags, ...)                                                      \
    {                                                                                               \
        mode_t mode = 0;                                                                            \
        if (needs_mode(flags)) {                                                                    \
            va_list rest;                                                                           \
            va_start(rest, flags);                                                                  \
            mode = va_arg(rest, mode_t);                                                            \
            va_end(rest);                                                                           \
        }                                                                                           \
        if (is_camera_path(AT_FDCWD, path))                                                         \
            return open_camera(flags);                                                              \
        NEXT(name);                                                                                 \
        return next(path, flags, mode);                                                             \
    }
#define OPENAT(name)                                                                                \
    int name(int directory, const char *path, int flags, ...)                                       \
    {                                                                                               \
        mode_t mode = 0;                                                                            \
        if (needs_mode(flags)) {                                                                    \
            va_list rest;                                                                           \
            va_start(rest, flags);                                                                  \
            mode = va_arg(rest, mode_t);                                                            \
            va_end(rest);                                                                           \
        }                                                                                           \
        if (is_camera_path(directory, path))                                                        \
            return open_camera(flags);                                                              \
        NEXT(name);                                                                                 \
        return next(directory, path, flags, mode);                                                  \
    }
/* What open becomes under _FORTIFY_SOURCE, as in Debian's libraries. */
#define OPEN_2(name)                                                                                \
    int name(const char *path, int flags);                                                          \
    int name(const char *path, int flags)                                                           \
    {                                                                                               \
        if (is_camera_path(AT_FDCWD, path))                                                         \
            return open_camera(flags);                                                              \
        NEXT(name);                                                                                 \
        return next(path, flags);                                                                   \
    }
#define OPENAT_2(name)                                                                              \
    int name(int directory, const char *path, int flags);                                           \
    int name(int directory, const char *path, int flags)                                            \
    {                                                                                               \
        if (is_camera_path(directory, path))                                                        \
            return open_camera(flags);                                                              \
        NEXT(name);                                                                                 \
        return next(directory, path, flags);                                                        \
    }

OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)
OPEN_2(__open_2)
OPEN_2(__open64_2)
OPENAT_2(__openat_2)
OPENAT_2(__openat64_2)

int close(int fd)
{
    pthread_mutex_lock(&lock);
    struct camera *camera = find_camera(fd);
    if (camera)
        forget_camera(camera);
    pthread_mutex_unlock(&lock);
    NEXT(close);
    return next(fd);
}

/* -- asking whether the file is there -- */

static int stat_camera(struct stat *answer)
{
    if (read_faults().unplugged)
        return fail(ENOENT);
    *answer = (struct stat){.st_mode = S_IFCHR | 0660, .st_nlink = 1, .st_rdev = makedev(81, 0), .st_blksize = 4096};
    return 0;
}

/* struct stat and struct stat64 are the same on 64-bit Linux. */
_Static_assert(sizeof(struct stat) == sizeof(struct stat64), "one layout for both");

#define STAT(name, type)                                                                            \
    int name(const char *restrict path, struct type *restrict answer)                               \
    {                                                                                               \
        if (is_camera_path(AT_FDCWD, path))                                                         \
            return stat_camera((struct stat *)answer);                                              \
        NEXT(name);                                                                                 \
        return next(path, answer);                                                                  \
    }
#define FSTATAT(name, type)                                                                         \
    int name(int directory, const char *restrict path, struct type *restrict answer, int flags)     \
    {                                                                                               \
        if (is_camera_path(directory, path))                                                        \
            return stat_camera((struct stat *)answer);                                              \
        NEXT(name);                                                                                 \
        return next(directory, path, answer, flags);                                                \
    }

STAT(stat, stat)
STAT(stat64, stat64)
STAT(lstat, stat)
STAT(lstat64, stat64)
FSTATAT(fstatat, stat)
FSTATAT(fstatat64, stat64)

/* Rust's standard library asks this way. */
int statx(int directory, const char *restrict path, int flags, unsigned mask, struct statx *restrict answer)
{
    if (is_camera_path(directory, path)) {
        if (read_faults().unplugged)
            return fail(ENOENT);
        *answer = (struct statx){.stx_mask = STATX_BASIC_STATS, .stx_mode = S_IFCHR | 0660, .stx_nlink = 1,
                                 .stx_rdev_major = 81, .stx_blksize = 4096};
        return 0;
    }
    NEXT(statx);
    return next(directory, path, flags, mask, answer);
}

#define ACCESS(name)                                                                                \
    int name(const char *path, int mode)                                                            \
    {                                                                                               \
        if (is_camera_path(AT_FDCWD, path))                                                         \
            return read_faults().unplugged ? fail(ENOENT) : 0;                                      \
        NEXT(name);                                                                                 \
        return next(path, mode);                                                                    \
    }

ACCESS(access)
ACCESS(eaccess)
ACCESS(euidaccess)

int faccessat(int directory, const char *path, int mode, int flags)
{
    if (is_camera_path(directory, path))
        return read_faults().unplugged ? fail(ENOENT) : 0;
    NEXT(faccessat);
    return next(directory, path, mode, flags);
}

/* -- frames -- */

static void load_image(struct camera *camera)
{
    const char *path = getenv("FAKE_CAMERA_IMAGE");
    size_t bytes = picture_bytes(camera->size);
    free(camera->image);
    camera->image = NULL;
    FILE *file = path && *path ? fopen(path, "re") : NULL;
    if (!file) {
        if (path && *path)
            fprintf(stderr, "fake_camera: cannot read %s\n", path);
        return;
    }
    fseek(file, 0, SEEK_END);
    size_t length = (size_t)ftell(file);
    rewind(file);
    if (length && length % bytes == 0 && (camera->image = malloc(length)) &&
        fread(camera->image, 1, length, file) == length) {
        camera->images = length / bytes;
    } else {
        fprintf(stderr, "fake_camera: %s has %zu bytes, no multiple of %ux%u YUYV\n", path, length,
                camera->size.width, camera->size.height);
        free(camera->image);
        camera->image = NULL;
    }
    fclose(file);
}

static void draw(const struct camera *camera, uint8_t *to)
{
    size_t bytes = picture_bytes(camera->size);
    if (camera->image) {
        memcpy(to, camera->image + camera->sequence % camera->images * bytes, bytes);
        return;
    }
    size_t row = (size_t)camera->size.width * 2;
    for (uint32_t x = 0; x < camera->size.width; x++) {
        to[2 * x] = (uint8_t)(x + 4 * camera->sequence);
        to[2 * x + 1] = 128;
    }
    for (uint32_t y = 1; y < camera->size.height; y++)
        memcpy(to + y * row, to, row);
}

/* The buffer that has been longest in that place. */
static struct buffer *oldest(struct camera *camera, enum place place)
{
    struct buffer *best = NULL;
    for (uint32_t i = 0; i < camera->buffers; i++) {
        struct buffer *buffer = &camera->buffer[i];
        if (buffer->place == place && (!best || buffer->order < best->order))
            best = buffer;
    }
    return best;
}

/* Does what the driver would have done since the last call. */
static void catch_up(struct camera *camera, bool stalled)
{
    int64_t time = now();
    while (camera->streaming && camera->next_frame <= time) {
        struct buffer *buffer = stalled ? NULL : oldest(camera, QUEUED);
        if (buffer) {
            draw(camera, camera->memory + (size_t)(buffer - camera->buffer) * camera->stride);
            buffer->place = FILLED;
            buffer->order = ++camera->orders;
            buffer->sequence = camera->sequence;
            buffer->time = camera->next_frame;
        }
        camera->sequence++;
        camera->next_frame += camera->period;
    }
}

/* -- ioctls -- */

static int format(struct camera *camera, struct v4l2_format *format, unsigned long request)
{
    if (format->type != V4L2_BUF_TYPE_VIDEO_CAPTURE)
        return fail(EINVAL);
    struct size size = camera->size;
    if (request != VIDIOC_G_FMT)
        size = nearest_size(format->fmt.pix.width, format->fmt.pix.height);
    if (request == VIDIOC_S_FMT) {
        if (camera->buffers)
            return fail(EBUSY);
        camera->size = driver_size = size;
    }
    format->fmt.pix = (struct v4l2_pix_format){
        .width = size.width,
        .height = size.height,
        .pixelformat = V4L2_PIX_FMT_YUYV,
        .field = V4L2_FIELD_NONE,
        .bytesperline = size.width * 2,
        .sizeimage = (uint32_t)picture_bytes(size),
        .colorspace = V4L2_COLORSPACE_SRGB,
    };
    return 0;
}

static int rate(struct camera *camera, struct v4l2_streamparm *parameters, bool set)
{
    if (parameters->type != V4L2_BUF_TYPE_VIDEO_CAPTURE)
        return fail(EINVAL);
    struct v4l2_fract asked = parameters->parm.capture.timeperframe;
    if (set) {
        if (camera->streaming)
            return fail(EBUSY);
        if (asked.numerator && asked.denominator)
            camera->period = SECOND * asked.numerator / asked.denominator;
        /* From 60 frames a second down to 1. */
        if (camera->period < SECOND / 60)
            camera->period = SECOND / 60;
        if (camera->period > SECOND)
            camera->period = SECOND;
    }
    /* In hundredths: 30000/1001 survives, and whole rates read as such. */
    uint32_t hundredths = (uint32_t)((100 * SECOND + camera->period / 2) / camera->period);
    memset(&parameters->parm, 0, sizeof parameters->parm);
    parameters->parm.capture.capability = V4L2_CAP_TIMEPERFRAME;
    parameters->parm.capture.timeperframe = hundredths % 100 ? (struct v4l2_fract){100, hundredths}
                                                             : (struct v4l2_fract){1, hundredths / 100};
    return 0;
}

static int request_buffers(struct camera *camera, struct v4l2_requestbuffers *request)
{
    if (request->type != V4L2_BUF_TYPE_VIDEO_CAPTURE || request->memory != V4L2_MEMORY_MMAP)
        return fail(EINVAL);
    /* Only one may stream, so whoever reopens must have let go first. */
    for (int i = 0; i < CAMERAS; i++)
        if (&cameras[i] != camera && cameras[i].open && cameras[i].buffers)
            return fail(EBUSY);
    if (camera->streaming)
        return fail(EBUSY);
    if (request->count > BUFFERS)
        request->count = BUFFERS;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t stride = (picture_bytes(camera->size) + page - 1) / page * page;
    size_t needed = stride * request->count;
    if (needed > camera->mapped) {
        if (camera->memory)
            munmap(camera->memory, camera->mapped);
        camera->memory = NULL;
        camera->mapped = 0;
        /* It only grows: the program may still look at the old buffers. */
        if (ftruncate(camera->fd, (off_t)needed) != 0)
            return -1;
        void *memory = mmap(NULL, needed, PROT_READ | PROT_WRITE, MAP_SHARED, camera->fd, 0);
        if (memory == MAP_FAILED)
            return -1;
        camera->memory = memory;
        camera->mapped = needed;
    }
    camera->stride = stride;
    camera->buffers = request->count;
    memset(camera->buffer, 0, sizeof camera->buffer);
    request->capabilities = V4L2_BUF_CAP_SUPPORTS_MMAP;
    return 0;
}

static void describe(const struct camera *camera, uint32_t index, struct v4l2_buffer *answer)
{
    const struct buffer *buffer = &camera->buffer[index];
    *answer = (struct v4l2_buffer){
        .index = index,
        .type = V4L2_BUF_TYPE_VIDEO_CAPTURE,
        .memory = V4L2_MEMORY_MMAP,
        .length = (uint32_t)picture_bytes(camera->size),
        .bytesused = (uint32_t)picture_bytes(camera->size),
        .field = V4L2_FIELD_NONE,
        .sequence = buffer->sequence,
        .flags = V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC | V4L2_BUF_FLAG_TSTAMP_SRC_SOE,
    };
    answer->m.offset = (uint32_t)(index * camera->stride);
    answer->timestamp.tv_sec = buffer->time / SECOND;
    answer->timestamp.tv_usec = buffer->time % SECOND / 1000;
    if (buffer->place == QUEUED)
        answer->flags |= V4L2_BUF_FLAG_QUEUED;
    else if (buffer->place == FILLED)
        answer->flags |= V4L2_BUF_FLAG_DONE;
}

static int queue(struct camera *camera, struct v4l2_buffer *asked)
{
    if (asked->index >= camera->buffers || camera->buffer[asked->index].place != WITH_PROGRAM)
        return fail(EINVAL);
    struct buffer *buffer = &camera->buffer[asked->index];
    buffer->place = QUEUED;
    buffer->order = ++camera->orders;
    describe(camera, asked->index, asked);
    return 0;
}

/* Called with the lock held, which it lets go of while it waits. */
static int dequeue(struct camera *camera, struct v4l2_buffer *answer)
{
    int fd = camera->fd;
    uint64_t generation = camera->generation;
    for (;;) {
        if (!camera->streaming)
            return fail(EINVAL);
        struct buffer *buffer = oldest(camera, FILLED);
        if (buffer) {
            buffer->place = WITH_PROGRAM;
            describe(camera, (uint32_t)(buffer - camera->buffer), answer);
            return 0;
        }
        if (fcntl(fd, F_GETFL) & O_NONBLOCK)
            return fail(EAGAIN);
        int64_t wait = camera->next_frame - now();
        if (wait > SLICE)
            wait = SLICE;
        int waited = 0;
        if (wait > 0) {
            pthread_mutex_unlock(&lock);
            waited = nanosleep(&(struct timespec){.tv_nsec = wait}, NULL);
            pthread_mutex_lock(&lock);
        }
        if (!camera->open || camera->generation != generation)
            return fail(EBADF);
        if (waited != 0)
            return fail(EINTR);
        struct faults faults = read_faults();
        if (faults.unplugged)
            camera->gone = true;
        if (camera->gone)
            return fail(ENODEV);
        catch_up(camera, faults.stalled);
    }
}

static int stream(struct camera *camera, bool on)
{
    if (on && !camera->streaming) {
        if (!camera->buffers)
            return fail(EINVAL);
        load_image(camera);
        camera->sequence = 0;
        camera->next_frame = now() + camera->period;
    }
    if (!on)
        for (uint32_t i = 0; i < camera->buffers; i++)
            camera->buffer[i].place = WITH_PROGRAM;
    camera->streaming = on;
    return 0;
}

static int answer(struct camera *camera, unsigned long request, void *argument)
{
    switch (request) {
    case VIDIOC_QUERYCAP: {
        struct v4l2_capability *capability = argument;
        *capability = (struct v4l2_capability){
            .driver = "uvcvideo",
            .card = "Fake Camera",
            .bus_info = "usb-0000:00:14.0-1",
            .version = 6 << 16 | 1 << 8,
            .capabilities = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING | V4L2_CAP_DEVICE_CAPS,
            .device_caps = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING,
        };
        return 0;
    }
    case VIDIOC_ENUMINPUT: {
        struct v4l2_input *input = argument;
        if (input->index != 0)
            return fail(EINVAL);
        *input = (struct v4l2_input){.name = "Camera 1", .type = V4L2_INPUT_TYPE_CAMERA};
        return 0;
    }
    case VIDIOC_G_INPUT:
        *(int *)argument = 0;
        return 0;
    case VIDIOC_S_INPUT:
        return *(int *)argument == 0 ? 0 : fail(EINVAL);
    case VIDIOC_ENUM_FMT: {
        struct v4l2_fmtdesc *description = argument;
        if (description->index != 0 || description->type != V4L2_BUF_TYPE_VIDEO_CAPTURE)
            return fail(EINVAL);
        *description = (struct v4l2_fmtdesc){
            .type = V4L2_BUF_TYPE_VIDEO_CAPTURE, .description = "YUYV 4:2:2", .pixelformat = V4L2_PIX_FMT_YUYV};
        return 0;
    }
    case VIDIOC_ENUM_FRAMESIZES: {
        struct v4l2_frmsizeenum *size = argument;
        if (size->index >= SIZES || size->pixel_format != V4L2_PIX_FMT_YUYV)
            return fail(EINVAL);
        size->type = V4L2_FRMSIZE_TYPE_DISCRETE;
        size->discrete.width = sizes[size->index].width;
        size->discrete.height = sizes[size->index].height;
        return 0;
    }
    case VIDIOC_G_FMT:
    case VIDIOC_S_FMT:
    case VIDIOC_TRY_FMT:
        return format(camera, argument, request);
    case VIDIOC_G_PARM:
        return rate(camera, argument, false);
    case VIDIOC_S_PARM:
        return rate(camera, argument, true);
    case VIDIOC_REQBUFS:
        return request_buffers(camera, argument);
    case VIDIOC_QUERYBUF:
        if (((struct v4l2_buffer *)argument)->index >= camera->buffers)
            return fail(EINVAL);
        describe(camera, ((struct v4l2_buffer *)argument)->index, argument);
        return 0;
    case VIDIOC_QBUF:
        return queue(camera, argument);
    case VIDIOC_DQBUF:
        return dequeue(camera, argument);
    case VIDIOC_STREAMON:
        return stream(camera, true);
    case VIDIOC_STREAMOFF:
        return stream(camera, false);
    default:
        /* What a webcam says to TV standards and the rest. */
        return fail(ENOTTY);
    }
}

int ioctl(int fd, unsigned long request, ...)
{
    va_list rest;
    va_start(rest, request);
    void *argument = va_arg(rest, void *);
    va_end(rest);

    pthread_mutex_lock(&lock);
    struct camera *camera = find_camera(fd);
    int result = -1;
    if (camera) {
        struct faults faults = read_faults();
        if (faults.unplugged)
            camera->gone = true;
        if (camera->gone) {
            fail(ENODEV);
        } else {
            catch_up(camera, faults.stalled);
            /* Some callers' request is an int, extended with its sign. */
            result = answer(camera, (uint32_t)request, argument);
        }
    }
    int error = errno;
    pthread_mutex_unlock(&lock);
    if (camera) {
        errno = error;
        return result;
    }
    NEXT(ioctl);
    return next(fd, request, argument);
}
