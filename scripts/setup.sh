#!/usr/bin/env bash
# Installs what building and testing need and this machine lacks (Debian, Ubuntu), and checks Rust.
# Run it, or source it to get cargo on the PATH too. Silent if all is there; speaks on stderr only.
# With gradcam_video_setup=tests also what only tests need: X servers without a screen, a browser, an RTSP server, DuckDB.

gradcam_video_rust_minimum=1.95.0

# Names the packages whose contents are not there, however the others came to be installed.
gradcam_video_missing_packages() {
    command -v cc >/dev/null || echo build-essential
    command -v clang >/dev/null || echo clang
    command -v ffmpeg >/dev/null && command -v ffprobe >/dev/null || echo ffmpeg
    command -v git >/dev/null || echo git
    command -v pkg-config >/dev/null || echo pkg-config
    [ -e /etc/ssl/certs/ca-certificates.crt ] || echo ca-certificates
    [ -n "${LIBCLANG_PATH:-}" ] || compgen -G '/usr/lib/llvm-*/lib/libclang*.so*' >/dev/null ||
        echo libclang-dev
    local library
    for library in avcodec avformat avfilter avdevice avutil swscale swresample; do
        pkg-config --exists "lib$library" 2>/dev/null || echo "lib$library-dev"
    done
    [ "${gradcam_video_setup:-}" = tests ] || return 0
    command -v Xvfb >/dev/null || echo xvfb
    command -v xdotool >/dev/null || echo xdotool
    command -v chromium >/dev/null || echo chromium
    command -v chromedriver >/dev/null || echo chromium-driver
    # The system's own Python, not one from elsewhere that comes first on the PATH.
    /usr/bin/python3 -c 'import gi' 2>/dev/null || echo python3-gi
    compgen -G '/usr/lib/*/girepository-1.0/GstRtspServer-1.0.typelib' >/dev/null ||
        echo gir1.2-gst-rtsp-server-1.0
    /usr/bin/python3 -c 'import ensurepip' 2>/dev/null || echo python3-venv
}

# Tests read our Parquet files with DuckDB, from a Python environment of their own.
gradcam_video_test_python() {
    [ "${gradcam_video_setup:-}" = tests ] || return 0
    local root folder
    root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd) || return 1
    folder=$root/target/test-python
    "$folder/bin/python" -c 'import duckdb' 2>/dev/null && return 0
    echo "setup: installing DuckDB into target/test-python"
    /usr/bin/python3 -m venv "$folder" && "$folder/bin/pip" install --quiet 'duckdb==1.*'
}

gradcam_video_install_missing() {
    local packages administrator=()
    mapfile -t packages < <(gradcam_video_missing_packages)
    [ "${#packages[@]}" -gt 0 ] || return 0
    if ! command -v apt-get >/dev/null; then
        echo "setup: no apt-get here; install what Debian calls: ${packages[*]}"
        return 1
    fi
    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo >/dev/null; then
            echo "setup: run this as root, or install sudo; missing packages: ${packages[*]}"
            return 1
        fi
        administrator=(sudo)
    fi
    echo "setup: installing ${packages[*]}"
    local apt_get=("${administrator[@]}" env DEBIAN_FRONTEND=noninteractive
        apt-get -o DPkg::Lock::Timeout=300 -q)
    "${apt_get[@]}" update || return 1
    "${apt_get[@]}" install -y --no-install-recommends "${packages[@]}" || return 1

    mapfile -t packages < <(gradcam_video_missing_packages)
    if [ "${#packages[@]}" -gt 0 ]; then
        echo "setup: still missing after the installation: ${packages[*]}"
        return 1
    fi
}

gradcam_video_check_rust() {
    # rustup puts cargo here, but only login shells know.
    if ! command -v cargo >/dev/null && [ -x "${CARGO_HOME:-$HOME/.cargo}/bin/cargo" ]; then
        PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
        export PATH
    fi
    if ! command -v cargo >/dev/null || ! command -v rustc >/dev/null; then
        echo "setup: Rust is missing; install rustup (see rustup.rs), then run: rustup toolchain install stable"
        return 1
    fi
    local version
    version=$(rustc --version | cut -d ' ' -f 2)
    if ! printf '%s\n' "$gradcam_video_rust_minimum" "$version" | sort --version-sort --check=silent; then
        echo "setup: rustc is $version, but $gradcam_video_rust_minimum or newer is needed; run: rustup update stable (see rustup.rs)"
        return 1
    fi
}

{ gradcam_video_install_missing && gradcam_video_check_rust && gradcam_video_test_python; } >&2 || exit 1
