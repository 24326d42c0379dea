#!/usr/bin/env bash
# Sourced by scripts that need an X display without a monitor. They have a folder in `work`, and kill what is listed in `pids` at their end.

# Starts an X server; its display is in `display`.
# Usage: start_display WIDTHxHEIGHT
start_display() {
    # shellcheck disable=SC2154 # set by the caller
    Xvfb -displayfd 3 -screen 0 "${1}x24" -nolisten tcp 3>"$work/display" 2>/dev/null &
    pids+=($!)
    until [ -s "$work/display" ]; do sleep 0.1; done
    # shellcheck disable=SC2034 # read by the caller
    display=:$(<"$work/display")
    : >"$work/display"
}
