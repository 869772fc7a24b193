# What every demo has in common: texts in two languages, and software from npm, fetched once. Sourced by ./demo.
# shellcheck shell=bash disable=SC2034,SC2154

bold='' green='' red='' grey='' plain=''
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
    bold=$'\033[1m' green=$'\033[32m' red=$'\033[31m' grey=$'\033[90m' plain=$'\033[0m'
fi
t() { if [ "$lang" = zh ]; then printf '%s' "$2"; else printf '%s' "$1"; fi; }
title() { printf '\n%s── %s%s\n\n' "$bold" "$(t "$1" "$2")" "$plain"; }
note() { printf '%s\n' "$(t "$1" "$2")"; }
good() { printf '%s✔%s %s\n' "$green" "$plain" "$(t "$1" "$2")"; }
bad() { printf '%s✘%s %s\n' "$red" "$plain" "$(t "$1" "$2")" >&2 && exit 1; }
run() { printf '%s$ %s%s\n' "$grey" "$*" "$plain" && timeout --foreground 600 "$@"; }


here=$PWD demo=$PWD/.demo
upkeep=$here/out/upkeep

fetch() { # VERSION: the real thing from npm, once
    local dir=$demo/npm/$1
    [ -e "$dir/.complete" ] && return
    rm -rf "$dir" && mkdir -p "$dir"
    note "Fetching node-red@$1 from npm …" "正在从 npm 获取 node-red@$1 ……"
    timeout 600 npm install --prefix "$dir" "node-red@$1" --omit=dev --ignore-scripts --no-audit --no-fund --loglevel=error \
        >"$demo/npm-$1.log" 2>&1 </dev/null || { cat "$demo/npm-$1.log" >&2 && exit 1; }
    touch "$dir/.complete"
}

http() { curl -fsS --noproxy '*' --max-time 10 "$@"; }

# Wait until a command succeeds, at most so many seconds.
eventually() { # SECONDS COMMAND…
    local until=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $until ] || return 1
        sleep 0.2
    done
}

taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# Move $base on until it and so many ports behind it are free.
choose_ports() { # COUNT
    local i
    for ((i = 0; i <= $1; i++)); do
        taken $((base + i)) || continue
        base=$((base + 10)) i=-1
    done
}

# End the service of a host: one whose pid file and working directory both say so.
stop_service() { # ROOT
    local pid
    pid=$(sed -n 's/.*"pid": *\([0-9]*\).*/\1/p' "$1/.upkeep/service.pid" 2>/dev/null || true)
    if [ -n "$pid" ] && [ "$(readlink "/proc/$pid/cwd" 2>/dev/null)" = "$1" ]; then
        kill "$pid" && timeout 30 tail -s 0.1 -f --pid="$pid" /dev/null || true
    fi
}
