#!/usr/bin/env bash
# CUDA 13 without a GPU, a driver or NVIDIA's installer: the compiler and the libraries from PyPI's wheels, in target/cuda (about 2 GB), and a
# driver library that only says that it is none.
# Source it: it sets what cargo needs to build the features cuda and cudnn. An installed toolkit is used if CUDA_HOME names it.

gradcam_video_cuda_wheels=(
    'nvidia-cuda-nvcc==13.0.*' 'nvidia-cuda-crt==13.0.*' 'nvidia-cuda-runtime==13.0.*' 'nvidia-cuda-cccl==13.0.*'
    'nvidia-cuda-nvrtc==13.0.*' 'nvidia-nvvm==13.0.*' 'nvidia-cublas==13.0.*' 'nvidia-curand==10.4.0.*'
    'nvidia-cudnn-cu13==9.*'
)

# Linkers look for names without versions.
gradcam_video_link_names() {
    local library name
    for library in "$1"/lib*.so.*; do
        name=${library%%.so.*}.so
        [ -e "$name" ] || ln -s -- "${library##*/}" "$name" || return 1
    done
}

# Every function of the driver that the header knows, each of which fails as NVIDIA's own stub does.
gradcam_video_stub_driver() {
    local header=$1/include/cuda.h stubs=$2
    [ -e "$stubs/libcuda.so.1" ] && return 0
    mkdir -p -- "$stubs" || return 1
    grep -oE '\bcu[A-Z][A-Za-z0-9]*(_v[0-9]+)?(_pt[sd][sz])?\b' "$header" | sort -u |
        sed 's/.*/int &(void) { return 34; } \/* CUDA_ERROR_STUB_LIBRARY *\//' >"$stubs/stub.c" || return 1
    cc -shared -fPIC -Wl,-soname,libcuda.so.1 -o "$stubs/libcuda.so.1" "$stubs/stub.c" || return 1
    ln -sf libcuda.so.1 "$stubs/libcuda.so"
}

gradcam_video_fetch_cuda() {
    local folder=$1
    [ -e "$folder/complete" ] && return 0
    echo "cuda: installing CUDA 13.0 and cuDNN 9 from PyPI into $folder"
    rm -rf -- "$folder"
    /usr/bin/python3 -m venv "$folder/python" || return 1
    "$folder/python/bin/pip" install --quiet --no-deps --target "$folder/site" "${gradcam_video_cuda_wheels[@]}" || return 1
    rm -r -- "$folder/python"
    gradcam_video_link_names "$folder/site/nvidia/cu13/lib" || return 1
    gradcam_video_link_names "$folder/site/nvidia/cudnn/lib" || return 1
    touch -- "$folder/complete"
}

# Everything else is told by the status, since whoever sources this may be a person's shell.
gradcam_video_use_cuda() {
    local folder
    folder=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)/target/cuda || return 1
    if [ -z "${CUDA_HOME:-}" ]; then
        gradcam_video_fetch_cuda "$folder" >&2 || return 1
        export CUDA_HOME=$folder/site/nvidia/cu13
        # Where cudarc looks for cuDNN, too.
        export CUDNN_LIB=$folder/site/nvidia/cudnn
    fi
    gradcam_video_stub_driver "$CUDA_HOME" "$folder/stubs" >&2 || return 1
    # Where linkers find the stand-in on a machine without a driver.
    export LIBRARY_PATH=$folder/stubs${LIBRARY_PATH:+:$LIBRARY_PATH}
    # Code for Hopper, as there is no GPU to ask; a driver translates it for what comes after.
    export CUDA_COMPUTE_CAP=${CUDA_COMPUTE_CAP:-90}
    PATH=$CUDA_HOME/bin:$PATH
    export PATH
}

gradcam_video_use_cuda
