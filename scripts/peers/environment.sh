# shellcheck shell=bash
# What both peer benches need, to be sourced: `root` must be set. Speaks on stderr only.

# shellcheck disable=SC2154
peers_folder=$root/scripts/peers
peers_venv=$root/target/peers-venv
# For the reader of this file: the venv's Python.
# shellcheck disable=SC2034
peers_python=$peers_venv/bin/python

# PyTorch's OpenMP threads spin while they wait. With anything else on the cores that multiplies its time by ten, so they sleep here.
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-PASSIVE}
# TensorFlow tells about the CPU on stderr otherwise.
export TF_CPP_MIN_LOG_LEVEL=${TF_CPP_MIN_LOG_LEVEL:-2}
# Python's caches do not belong beside its sources in this repository.
export PYTHONDONTWRITEBYTECODE=1
# What is measured is the program as it comes.
unset GRADCAM_VIDEO_ISA GRADCAM_VIDEO_WEIGHTS

peers_fail() {
    printf '%s: %s\n' "${0##*/}" "$1" >&2
    exit "${2:-1}"
}

# The comment at the top of the calling script, without its first line and hash signs.
peers_usage() { awk 'NR > 1 { if (!/^#/) exit; sub(/^# ?/, ""); print }' "$0"; }

# peers_count OPTION VALUE: the value, if it is a whole number from 1.
peers_count() {
    [[ ${2:-} =~ ^[1-9][0-9]{0,5}$ ]] || peers_fail "$1 takes a whole number from 1, not '${2:-}'" 2
    printf '%s\n' "$2"
}

# peers_install [torch] [keras]: makes the virtual environment or completes it. Pinned versions that are there cost a second.
peers_install() {
    local extra files=(-r "$peers_folder/requirements.txt")
    for extra in "$@"; do
        files+=(-r "$peers_folder/requirements-$extra.txt")
    done
    if [ ! -x "$peers_venv/bin/pip" ]; then
        command -v python3 >/dev/null || peers_fail "python3 is missing"
        echo "making $peers_venv" >&2
        python3 -m venv "$peers_venv" >&2 ||
            peers_fail "python3 -m venv failed; on Debian: apt-get install python3-venv"
    fi
    echo "installing the peers (the first time takes minutes)" >&2
    "$peers_venv/bin/pip" install --quiet --disable-pip-version-check "${files[@]}" >&2
    if [[ " $* " == *" torch "* ]]; then
        "$peers_venv/bin/pip" install --quiet --disable-pip-version-check --no-deps grad-cam==1.5.7 >&2
    fi
}

# Sets `peers_binary` to $GRADCAM_VIDEO, or to a release build.
peers_build() {
    if [ -n "${GRADCAM_VIDEO:-}" ]; then
        peers_binary=$(realpath -- "$GRADCAM_VIDEO")
        [ -x "$peers_binary" ] || peers_fail "GRADCAM_VIDEO=$GRADCAM_VIDEO is no program"
        return
    fi
    # shellcheck source=scripts/setup.sh
    . "$root/scripts/setup.sh"
    (cd -- "$root" && cargo build --release --locked) >&2
    peers_binary=$root/target/release/gradcam-video
}

peers_has_bf16() { grep -qw avx512_bf16 /proc/cpuinfo; }

# Benches are only worth something on a quiet machine.
peers_warn_if_busy() {
    local load
    read -r load _ </proc/loadavg
    if awk -v load="$load" 'BEGIN { exit !(load > 0.5) }'; then
        echo "warning: the load average is $load; others use the cores, so figures will be off" >&2
    fi
}
