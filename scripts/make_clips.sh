#!/usr/bin/env bash
# Makes small videos that are awkward to read, one or more for each class of failure: tests/program/clips.rs says what each is for.
# Usage: scripts/make_clips.sh FOLDER
# Needs ffmpeg and ffprobe. Silent unless it fails; does nothing if FOLDER has been filled by this version of the script.
set -Eeuo pipefail
trap 'echo "make_clips.sh: line $LINENO failed" >&2' ERR
export LC_ALL=C

script=$(realpath -- "${BASH_SOURCE[0]}")
if (($# != 1)) || [[ $1 == -* ]]; then
    echo "usage: make_clips.sh FOLDER" >&2
    exit 2
fi
mkdir -p -- "$1"
cd -- "$1"

# Several tests may ask at once: the first one fills the folder, the others wait.
exec 9>.lock
flock 9
version=$(cksum <"$script")
[[ $(cat .complete 2>/dev/null) != "$version" ]] || exit 0
find . -mindepth 1 -maxdepth 1 ! -name .lock -exec rm -r -- {} +

# One thread per encoder: the bytes must not depend on the number of cores.
ff() { ffmpeg -nostdin -hide_banner -loglevel error -y -filter_threads 1 "$@"; }
# make NAME ARGUMENTS: the output's options come last in ARGUMENTS.
make() {
    local name=$1
    shift
    ff "$@" -threads 1 -fflags +bitexact "$name"
}

# pictures [SECONDS] [SIZE] [RATE]: the arguments of a moving test picture.
pictures() { echo "-f lavfi -i testsrc2=size=${2:-320x180}:rate=${3:-25}:duration=${1:-1}"; }
# shellcheck disable=SC2046,SC2086 # Words are meant to split: none holds a space.
from_pictures() {
    local name=$1 source=$2
    shift 2
    make "$name" $(pictures $source) "$@"
}
sound=(-f lavfi -i sine=duration=1)
h264=(-pix_fmt yuv420p -c:v libx264 -preset veryfast)
quick_h264=(-pix_fmt yuv420p -c:v libx264 -preset ultrafast)
x265=(-c:v libx265 -preset ultrafast -x265-params)

# overwrite FILE OFFSET BYTES: BYTES as printf writes them.
overwrite() {
    # shellcheck disable=SC2059 # The bytes are the format.
    printf "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}
# flip FILE FROM TO STEP: flips one bit of a byte every STEP bytes.
flip() {
    local position value
    for ((position = $2; position < $3; position += $4)); do
        value=$(od -An -tu1 -j "$position" -N 1 "$1")
        overwrite "$1" "$position" "\\x$(printf %02x $((value ^ 16)))"
    done
}
# number FILE OFFSET: four bytes, most significant first.
number() { printf %d "0x$(od -An -tx1 -j "$2" -N 4 "$1" | tr -d ' ')"; }
# find_all FILE BYTES: the offsets of all occurrences. BYTES as grep -P writes them.
find_all() { grep -aboP -- "$2" "$1" | cut -d : -f 1; }
find_last() { find_all "$@" | tail -n 1; }
# packet FILE STREAM INDEX: where a packet begins. Sound in a transport stream shares packets: each counts once.
packet() {
    ffprobe -v error -select_streams "$2" -show_entries packet=pos -of csv=p=0 "$1" |
        sed -n "s/^\([0-9]\+\).*/\1/p" | sed -n "$(($3 + 1))p" | grep .
}
size() { stat -c %s -- "$1"; }
# part NAME OF BYTES [SKIP]
part() { tail -c +"$((${4:-0} + 1))" -- "$2" | head -c "$3" >"$1" || [[ $? == 141 ]]; }

make_times() {
    local video
    # The plain clip that others are made from: B-frames, colour tags, title, sound.
    from_pictures plain.mp4 2 -f lavfi -i sine=duration=2 "${h264[@]}" -bf 3 -g 12 -c:a aac -metadata title=hello \
        -vf scale=out_color_matrix=bt709:out_range=tv -colorspace bt709 -color_primaries bt709 -color_trc bt709 -color_range tv
    make plain.ts -i plain.mp4 -c copy
    make plain.mkv -i plain.mp4 -c copy
    make fragmented.mp4 -i plain.mp4 -c copy -movflags frag_keyframe+empty_moov
    make raw.h264 -i plain.mp4 -an -c copy
    make edit_list.mp4 -ss 0.7 -i plain.mp4 -c copy
    from_pictures variable_rate.mp4 "2 320x180 30" "${sound[@]}" "${h264[@]}" -c:a aac -video_track_timescale 90000 \
        -vf "select='not(mod(n,3))+gt(n,30)*not(mod(n,2))'" -vsync vfr
    from_pictures ntsc_opus.mkv "1 320x180 30000/1001" "${sound[@]}" "${h264[@]}" -c:a libopus
    from_pictures ntsc.mp4 "1 320x180 30000/1001" "${h264[@]}"
    from_pictures one_frame.mp4 0.04 "${h264[@]}"
    # shellcheck disable=SC2046 # Words are meant to split.
    for video in late_video.mp4 late_video.mkv late_video.ts; do
        make $video "${sound[@]}" -itsoffset 0.5 $(pictures) -map 1 -map 0 "${h264[@]}" -vsync vfr -c:a aac
    done
    from_pictures late_audio.mp4 1 -itsoffset 0.5 "${sound[@]}" "${h264[@]}" -c:a aac
    from_pictures far_start.mkv 1 "${sound[@]}" "${h264[@]}" -c:a aac -output_ts_offset 36000
    from_pictures duplicate_times.mkv 1 -pix_fmt yuv420p -c:v mpeg4 -q:v 3 -bsf:v "setts=ts='trunc(N/2)*80':duration=0"
    from_pictures zero_durations.nut 1 "${h264[@]}" -bf 0 -bsf:v setts=duration=0
    # Chunks without presentation times, B-frames.
    from_pictures mpeg4_b_frames.avi 1 "${sound[@]}" -pix_fmt yuv420p -c:v mpeg4 -q:v 3 -bf 2 -c:a libmp3lame

    # The clock jumps back where two recordings are joined; a clock of 33 bits begins anew.
    from_pictures first.ts 1 "${sound[@]}" "${h264[@]}" -c:a aac
    from_pictures second.ts 1 -f lavfi -i sine=frequency=880:duration=1 "${h264[@]}" -vf negate -c:a aac
    cat first.ts second.ts >clock_jumps_back.ts
    from_pictures clock_wraps.ts 1 "${sound[@]}" "${h264[@]}" -c:a aac -muxdelay 0 -muxpreload 0 -output_ts_offset 95443.2
    from_pictures larger.ts 1 "${h264[@]}"
    from_pictures smaller.ts "1 160x120" "${h264[@]}"
    printf 'file %s\n' larger.ts smaller.ts >parts.txt
    make size_changes.ts -f concat -i parts.txt -c copy
    rm first.ts second.ts larger.ts smaller.ts parts.txt
}

make_streams() {
    printf '1\n00:00:00,100 --> 00:00:00,900\nhello\n' >.text.srt
    printf ';FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=400\ntitle=one\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=400\nEND=1000\ntitle=two\n' >.chapters.txt
    from_pictures .video.mkv 1 "${sound[@]}" "${h264[@]}" -c:a aac
    make chapters.mkv -i .video.mkv -i .chapters.txt -map 0 -map_metadata 1 -c copy
    make chapters.mp4 -i chapters.mkv -map 0 -c copy
    make attachment.mkv -i .video.mkv -c copy -attach .text.srt -metadata:s:t mimetype=text/plain -metadata:s:t filename=notes.txt
    from_pictures .other.mkv "0.4 160x90" "${h264[@]}"
    make two_videos.mkv -i .video.mkv -i .other.mkv -map 0 -map 1 -c copy
    from_pictures .cover.jpg 0.04 -frames:v 1 -pix_fmt yuvj420p
    make cover_art.mp4 -i .video.mkv -i .cover.jpg -map 0 -map 1 -c copy -disposition:v:1 attached_pic
    make timecode.mov -i .video.mkv -c copy -timecode 01:00:00:00
    make two_audio_subtitles.mkv -i .video.mkv -f lavfi -i sine=frequency=880:duration=1 -i .text.srt -map 0 -map 1 -map 2 \
        -c:v copy -c:a:0 copy -c:a:1 ac3 -c:s srt -metadata:s:a:1 language=fre
    from_pictures mjpeg_pcm.avi "1 320x180 15" "${sound[@]}" -c:v mjpeg -q:v 2 -c:a pcm_s16le
    from_pictures vp9_opus.webm 1 "${sound[@]}" -pix_fmt yuv420p -c:v libvpx-vp9 -deadline realtime -cpu-used 8 -b:v 1M -c:a libopus
    # Packets, or parts of them, that hold no picture to show: only encoders of two passes make them.
    local codec pass
    for codec in libvpx libvpx-vp9; do
        for pass in 1 2; do
            from_pictures .hidden.$codec.webm 2 -pix_fmt yuv420p -c:v $codec -deadline good -cpu-used 4 -b:v 500k \
                -auto-alt-ref 1 -lag-in-frames 16 -pass $pass -passlogfile .$codec
        done
    done
    make vp8_hidden_frames.webm -i .hidden.libvpx.webm "${sound[@]}" -c:v copy -c:a libvorbis
    mv .hidden.libvpx-vp9.webm vp9_hidden_frames.webm
    from_pictures av1.mp4 1 -pix_fmt yuv420p -c:v libaom-av1 -usage realtime -cpu-used 8 -b:v 1M
    from_pictures windows_media.wmv 1 "${sound[@]}" -pix_fmt yuv420p -c:v wmv2 -q:v 2 -c:a wmav2
    from_pictures theora.ogv 1 "${sound[@]}" -pix_fmt yuv420p -c:v libtheora -q:v 9 -c:a libvorbis
    from_pictures flash.flv 1 "${sound[@]}" -pix_fmt yuv420p -c:v flv1 -q:v 2 -c:a libmp3lame
    from_pictures hevc_open_gop.mkv 1 -pix_fmt yuv420p "${x265[@]}" log-level=error:open-gop=1:keyint=10:bframes=3:pools=none:frame-threads=1
}

make_pictures() {
    local bt2020=(-colorspace bt2020nc -color_primaries bt2020 -color_range tv)
    from_pictures hdr10_pq.mp4 1 -pix_fmt yuv420p10le "${x265[@]}" log-level=error:pools=none:frame-threads=1 "${bt2020[@]}" -color_trc smpte2084
    from_pictures hdr_hlg.mp4 1 -pix_fmt yuv420p10le -c:v libx264 -preset veryfast "${bt2020[@]}" -color_trc arib-std-b67
    from_pictures full_range.mp4 1 -vf scale=out_range=pc:out_color_matrix=bt709 -pix_fmt yuvj420p -c:v libx264 -preset veryfast \
        -color_range pc -colorspace bt709 -color_trc bt709 -color_primaries bt709
    from_pictures 422_10_bits.mp4 1 -pix_fmt yuv422p10le -c:v libx264 -preset veryfast
    from_pictures 444.mp4 1 -pix_fmt yuv444p -c:v libx264 -preset veryfast
    from_pictures odd_size_444.mp4 1 -vf scale=321:181 -pix_fmt yuv444p -c:v libx264 -preset veryfast
    from_pictures odd_size_420.webm 1 -vf scale=321:181 -pix_fmt yuv420p -c:v libvpx-vp9 -deadline realtime -cpu-used 8 -b:v 1M
    from_pictures rgb_ffv1.mkv "0.2" -pix_fmt bgr0 -c:v ffv1
    from_pictures ffv1.mkv "0.2" "${sound[@]}" -pix_fmt yuv420p -c:v ffv1 -c:a flac
    from_pictures gray.mkv 0.4 -pix_fmt gray -c:v ffv1
    from_pictures 411_dv.avi "0.1 720x480 30000/1001" -pix_fmt yuv411p -c:v dvvideo
    from_pictures aspect.mp4 1 "${h264[@]}" -vf setsar=64/45

    # Rotation and mirroring: the matrix of the track's header, and for one clip the codec's own message.
    from_pictures .upright.mp4 1 "${h264[@]}"
    local degrees header
    for degrees in 90 180 270; do
        make "rotated_$degrees.mp4" -i .upright.mp4 -c copy -metadata:s:v "rotate=$degrees"
    done
    cp .upright.mp4 mirrored.mp4
    header=$(find_last mirrored.mp4 tkhd)
    overwrite mirrored.mp4 $((header + 44)) '\xff\xff\0\0'
    make rotated_by_message.mp4 -i .upright.mp4 -c copy -bsf:v h264_metadata=display_orientation=insert:rotate=90

    # Fields: 50 pictures a second become 25 frames of two fields.
    local weave=tinterlace=interleave_top,setfield=tff
    local fields=(-vf "$weave" -flags +ildct+ilme)
    from_pictures interlaced.mp4 "1 352x288 50" "${fields[@]}" "${h264[@]}" -x264-params tff=1
    from_pictures interlaced_bottom_first.mp4 "1 352x288 50" -vf tinterlace=interleave_bottom,setfield=bff -flags +ildct+ilme \
        "${h264[@]}" -x264-params bff=1
    from_pictures interlaced.mpg "1 352x288 50" "${sound[@]}" "${fields[@]}" -pix_fmt yuv420p -c:v mpeg2video -q:v 3 -bf 2 -c:a mp2
    from_pictures fields_as_pictures.mkv "1 320x288" -vf separatefields -pix_fmt yuv420p \
        "${x265[@]}" log-level=error:interlace=tff:pools=none:frame-threads=1

    local transparent=testsrc2=size=160x90:rate=25:duration=0.4:alpha=128,format=rgba
    make alpha_prores.mov -f lavfi -i $transparent -pix_fmt yuva444p10le -c:v prores_ks -profile:v 4444
    make alpha_animation.mov -f lavfi -i $transparent -pix_fmt argb -c:v qtrle
    make alpha.png -f lavfi -i $transparent -pix_fmt rgba -frames:v 1
    from_pictures animated.gif "1 160x90 10"
    make transparent.gif -f lavfi -i color=red@0:size=160x90:rate=10:duration=1,format=rgba \
        -f lavfi -i testsrc2=size=80x46:rate=10:duration=1 -filter_complex \
        '[0][1]overlay=x=t*40:y=20:format=rgb,split[a][b];[a]palettegen=reserve_transparent=1[p];[b][p]paletteuse'
    from_pictures animated.apng "0.5 160x90 10" -pix_fmt rgb24 -f apng
    from_pictures still.png "0.04" -frames:v 1 -pix_fmt rgb24
    from_pictures still.jpg "0.04" -frames:v 1 -pix_fmt yuvj420p -q:v 2
    # Exif's orientation 6: the picture is to be turned by 90 degrees clockwise.
    {
        printf '\xff\xd8\xff\xe1\0\x22Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0'
        tail -c +3 still.jpg
    } >turned.jpg
}

make_damage() {
    local bytes packets position step
    # 50 frames, three key frames, the index in front.
    from_pictures .whole.mp4 2 -f lavfi -i sine=duration=2 "${h264[@]}" -bf 3 -g 20 -c:a aac -movflags +faststart
    make .whole.ts -i .whole.mp4 -c copy
    make .whole.mkv -i .whole.mp4 -c copy -cluster_time_limit 500

    bytes=$(size .whole.mp4)
    part truncated.mp4 .whole.mp4 $((bytes * 6 / 10))
    from_pictures .index_last.mp4 1 "${quick_h264[@]}"
    part no_index.mp4 .index_last.mp4 $(($(size .index_last.mp4) / 2))
    cp .whole.mp4 flipped_bits.mp4
    flip flipped_bits.mp4 $((bytes / 2)) $((bytes * 3 / 4)) 997
    # The supplemental message and then the slice of the first frame, each with its length in front.
    cp .whole.mp4 broken_first_slice.mp4
    position=$(packet .whole.mp4 v:0 0)
    overwrite broken_first_slice.mp4 $((position + 4 + $(number .whole.mp4 "$position") + 5)) '\0\0'

    bytes=$(size .whole.mkv)
    part truncated.mkv .whole.mkv $((bytes * 6 / 10))
    part truncated_between_clusters.mkv .whole.mkv "$(find_last .whole.mkv '\x1f\x43\xb6\x75')"
    cp .whole.mkv flipped_bits.mkv
    flip flipped_bits.mkv $((bytes / 2)) $((bytes * 3 / 4)) 997

    bytes=$(size .whole.ts)
    packets=$((bytes * 6 / 1880))
    part truncated_between_packets.ts .whole.ts $((packets * 188))
    part truncated_in_a_packet.ts .whole.ts $((packets * 188 + 100))
    part begins_inside_a_gop.ts .whole.ts "$bytes" "$(packet .whole.ts v:0 7)"
    cp .whole.ts flipped_bits.ts
    flip flipped_bits.ts $((bytes / 2)) $((bytes * 3 / 4)) 997
    cp .whole.ts damaged_audio.ts
    for step in 1 3 5; do
        position=$(packet .whole.ts a:0 $step)
        overwrite damaged_audio.ts $((position + 60)) "$(printf 'U%.0s' {1..120})"
    done
    # A packet of the transport layer is missing in the middle of a frame.
    position=$(packet .whole.ts v:0 25)
    part lost_packet.ts .whole.ts $((position + 188))
    part .rest.ts .whole.ts "$bytes" $((position + 376))
    cat .rest.ts >>lost_packet.ts
}

make_no_videos() {
    : >empty.mp4
    # Neither text nor any known signature.
    printf '%s' {1..1200} | gzip -9n | tail -c +11 >noise.mp4
    printf 'This is no video.\n%.0s' {1..40} >text.mp4
    cp text.mp4 text.txt
    from_pictures png_named.mp4 0.04 -frames:v 1 -pix_fmt rgb24 -c:v png -f image2
    from_pictures mp4_named.mkv 1 "${quick_h264[@]}" -f mp4
    cp mp4_named.mkv mp4_named.png
    make audio_only.m4a "${sound[@]}" -c:a aac
    from_pictures .front.jpg 0.04 -frames:v 1 -pix_fmt yuvj420p
    make audio_with_cover.mp3 "${sound[@]}" -i .front.jpg -map 0 -map 1 -c:a libmp3lame -c:v copy -disposition:v attached_pic
    from_pictures unknown_codec.mp4 0.4 "${quick_h264[@]}"
    overwrite unknown_codec.mp4 "$(find_last unknown_codec.mp4 avc1)" zzzz
    # 60,000 x 60,000 or 16,000 x 16,000 pixels in a header, next to nothing behind it.
    {
        printf 'BM\x40\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x60\xea\0\0\x60\xea\0\0\x01\0\x18\0'
        head -c 200 /dev/zero
    } >huge.bmp
    from_pictures huge_video.avi "0.04 160x90" -pix_fmt bgr24 -c:v rawvideo
    overwrite huge_video.avi $(($(find_last huge_video.avi strf) + 12)) '\x80\x3e\0\0\x80\x3e\0\0'
    from_pictures huge_frames.avi 0.12 -c:v mjpeg -q:v 5
    local frame
    for frame in $(find_all huge_frames.avi '\xff\xc0\x00\x11'); do
        overwrite huge_frames.avi $((frame + 5)) '\xea\x60\xea\x60'
    done
}

make_times
make_streams
make_pictures
make_damage
make_no_videos
find . -mindepth 1 -maxdepth 1 -name '.*' ! -name .lock -exec rm -- {} +
printf '%s\n' "$version" >.complete
