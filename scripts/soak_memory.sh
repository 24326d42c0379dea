#!/usr/bin/env bash
# Sourced by the soak scripts: watches the resident memory of a process and says whether it stays flat.

growth_limit_mib=10
table_rows=20
# Fewer samples after the first tenth would say little.
least_samples=10

# Writes seconds and KiB once a second, or every SECONDS, until the process ends.
# Usage: sample_memory PID [SECONDS]
sample_memory() {
    local pid=$1 start=$SECONDS rss
    # The memory is gone from the file when the program has ended but was not yet waited for.
    while rss=$(awk '/^VmRSS/ { print $2; found = 1 } END { exit !found }' "/proc/$pid/status" 2>/dev/null); do
        echo "$((SECONDS - start)) $rss"
        sleep "${2:-1}"
    done
}

# Prints a table and the verdict on such samples; fails if memory grows.
# Usage: judge_memory FILE
judge_memory() {
    # Growth is how far memory rises above an earlier sample; that it falls at the end is none.
    awk -v limit="$growth_limit_mib" -v rows="$table_rows" -v least="$least_samples" '
        { seconds[NR] = $1; mib[NR] = $2 / 1024 }
        END {
            first = int(NR / 10) + 1
            if (NR - first + 1 < least) {
                print "too short: only " NR " samples, take more frames"
                exit 1
            }
            print "seconds    MiB"
            step = int((NR + rows - 1) / rows)
            for (i = 1; i <= NR; i += step) printf "%7d %6.1f\n", seconds[i], mib[i]
            low = high = mib[first]
            for (i = first; i <= NR; i++) {
                if (mib[i] < low) low = mib[i]
                if (mib[i] > high) high = mib[i]
                if (mib[i] - low > growth) growth = mib[i] - low
            }
            printf "after the first tenth: at most %.1f MiB, growth %.1f MiB, ", high, growth
            is_flat = growth < limit
            print (is_flat ? "flat" : "NOT FLAT (limit " limit " MiB)")
            exit !is_flat
        }' "$1"
}
