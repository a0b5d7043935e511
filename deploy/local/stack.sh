#!/usr/bin/env bash
# The functions of the private stack: PostgreSQL and RabbitMQ on loopback, in a folder of their own.
# Sourced by up, down and demo; README.md beside this file says what they promise.
#
# A process is known by its id and its start time together, so that a reused id is never ended by mistake;
# a zombie counts as gone, because nobody may be there to reap it.

CHECKOUT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
RABBITMQ_SERVER=/usr/lib/rabbitmq/bin/rabbitmq-server

say() { printf '%s\n' "$*" >&2; }

fail() {
    say "error: $*"
    exit 1
}

is_root() { [ "$(id -u)" = 0 ]; }

# ---- Folders and state ----

# Sets LOCAL_DIR, makes it, and takes its lock (descriptor 9) so that two calls for one folder follow each other.
# Every process started below must close descriptor 9, or it would hold the lock for its whole life.
open_local_dir() {
    LOCAL_DIR=${BEKAL_LOCAL_DIR:-$CHECKOUT/.local}
    mkdir -p "$LOCAL_DIR"
    LOCAL_DIR=$(cd "$LOCAL_DIR" && pwd)
    STATE_FILE=$LOCAL_DIR/state
    ENV_FILE=$LOCAL_DIR/env
    PROCESSES_FILE=$LOCAL_DIR/processes
    exec 9>"$LOCAL_DIR/lock"
    flock 9
}

load_state() {
    RUN_FOLDER='' SLOT='' MODE=''
    POSTGRES_PROCESS='' BROKER_PROCESS='' BROKER_WRAPPER='' EPMD_PROCESS=''
    if [ -f "$STATE_FILE" ]; then
        # shellcheck source=/dev/null
        . "$STATE_FILE"
    fi
}

save_state() {
    local name
    for name in RUN_FOLDER SLOT MODE POSTGRES_PROCESS BROKER_PROCESS BROKER_WRAPPER EPMD_PROCESS; do
        printf '%s=%q\n' "$name" "${!name}"
    done >"$STATE_FILE.new"
    mv "$STATE_FILE.new" "$STATE_FILE"
}

# A name for this folder that no other folder of the machine has.
folder_tag() { printf '%s' "$LOCAL_DIR" | cksum | cut -d' ' -f1; }

# PostgreSQL refuses root and runs as `postgres`, who must be able to enter every parent folder; RabbitMQ's scripts
# cannot live with a space in a path. Where either fails, the servers live under /var/tmp and only the state stays here.
choose_run_folder() {
    [ -z "$RUN_FOLDER" ] || return 0
    RUN_FOLDER=$LOCAL_DIR
    if [[ $LOCAL_DIR =~ [[:space:]] ]] || ! postgres_may_enter "$LOCAL_DIR"; then
        RUN_FOLDER=/var/tmp/bekal-$(id -u)-$(folder_tag)
        mkdir -p "$RUN_FOLDER"
        chmod 755 "$RUN_FOLDER"
        [ -O "$RUN_FOLDER" ] || fail "$RUN_FOLDER belongs to somebody else"
        say "note: $LOCAL_DIR cannot be used by the database server; its files go to $RUN_FOLDER"
    fi
}

postgres_may_enter() {
    is_root || return 0
    chmod o+x "$1"
    runuser -u postgres -- test -x "$1"
}

# ---- Processes ----

# Prints "STATE START_TIME" of a process, or fails when there is none.
process_state() {
    local stat
    { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
    local -a fields
    read -ra fields <<<"${stat##*) }"
    echo "${fields[0]} ${fields[19]}"
}

# Prints "PID:START_TIME", the form in which the state keeps a process.
process_identity() {
    local state
    state=$(process_state "$1") || return 1
    echo "$1:${state#* }"
}

process_alive() {
    [ -n "$1" ] || return 1
    local state
    state=$(process_state "${1%%:*}") || return 1
    [[ $state != [ZX]* && ${state#* } == "${1##*:}" ]]
}

# Waits until a process is gone; fails after so many seconds.
await_gone() {
    local turns=$(($2 * 10))
    while process_alive "$1"; do
        turns=$((turns - 1))
        [ "$turns" -gt 0 ] || return 1
        sleep 0.1
    done
}

# Asks a process to end, and ends it by force when it has not after so many seconds.
end_process() {
    process_alive "$1" || return 0
    kill -TERM "${1%%:*}" 2>/dev/null || true
    await_gone "$1" "$2" && return 0
    kill -KILL "${1%%:*}" 2>/dev/null || true
    await_gone "$1" 10 || say "warning: process ${1%%:*} does not end"
}

# ---- Ports ----

# A slot is a set of five ports. Slot 0 is tried first; another stack on the machine moves this one to the next.
set_ports() {
    POSTGRES_PORT=$((15432 + SLOT * 10))
    BROKER_PORT=$((18672 + SLOT * 10))
    BROKER_MANAGEMENT_PORT=$((BROKER_PORT + 1))
    BROKER_DISTRIBUTION_PORT=$((BROKER_PORT + 2))
    EPMD_PORT=$((BROKER_PORT + 3))
}

port_taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

slot_free() {
    local port
    for port in "$POSTGRES_PORT" "$BROKER_PORT" "$BROKER_MANAGEMENT_PORT" "$BROKER_DISTRIBUTION_PORT" "$EPMD_PORT"; do
        ! port_taken "$port" || return 1
    done
}

choose_slot() {
    SLOT=${SLOT:-0}
    local tries=0
    set_ports
    until slot_free; do
        tries=$((tries + 1))
        [ "$tries" -le 200 ] || fail "no free ports from 15432 and 18672 on"
        SLOT=$(((SLOT + 1) % 200))
        set_ports
    done
}

# ---- Packages ----

find_postgres_bin() {
    local candidate
    POSTGRES_BIN=''
    for candidate in $(printf '%s\n' /usr/lib/postgresql/*/bin | sort -Vr) "$(pg_config --bindir 2>/dev/null || true)"; do
        if [ -x "$candidate/initdb" ] && [ -x "$candidate/pg_ctl" ]; then
            POSTGRES_BIN=$candidate
            return 0
        fi
    done
    return 1
}

install_missing() {
    local -a missing=()
    find_postgres_bin || missing+=(postgresql postgresql-contrib)
    [ -x "$RABBITMQ_SERVER" ] || missing+=(rabbitmq-server)
    [ "${#missing[@]}" -gt 0 ] || return 0

    local command="apt-get update && apt-get install -y --no-install-recommends ${missing[*]}"
    is_root || fail "not installed: ${missing[*]}. Run as root: $command"
    command -v apt-get >/dev/null || fail "not installed: ${missing[*]}, and no apt-get to install them with"
    say "installing ${missing[*]}"
    install_packages "${missing[@]}" >"$LOCAL_DIR/install.log" 2>&1 9>&- ||
        fail "installing ${missing[*]} failed:"$'\n'"$(tail -n 20 "$LOCAL_DIR/install.log")"
    find_postgres_bin || fail "PostgreSQL is installed but initdb is not to be found"
    [ -x "$RABBITMQ_SERVER" ] || fail "RabbitMQ is installed but $RABBITMQ_SERVER is not to be found"
}

# Installs without starting anything: Debian asks policy-rc.d before it starts a service, and 101 says no.
install_packages() (
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        trap 'rm -f "$policy"' EXIT
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get -o DPkg::Lock::Timeout=300 update
    apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "$@"
    # Where systemd runs, the packages' own services shall not appear with the next boot either.
    if [ -d /run/systemd/system ]; then
        systemctl disable postgresql rabbitmq-server || true
    fi
)

# ---- PostgreSQL ----

as_postgres() {
    if is_root; then
        runuser -u postgres -- "$@"
    else
        "$@"
    fi
}

postgres_options() {
    local options="-p $POSTGRES_PORT -c listen_addresses=127.0.0.1 -c unix_socket_directories=''"
    # 500 connections: five services with a pool of 12 each, and several test clusters at once.
    options+=" -c max_connections=500 -c shared_buffers=512MB -c max_wal_size=4GB -c checkpoint_timeout=15min"
    # The bulk of the queries are short; compiling them costs more than it gives.
    options+=" -c jit=off -c random_page_cost=1.1 -c log_checkpoints=off"
    if [ "$MODE" = fast ]; then
        options+=" -c fsync=off -c full_page_writes=off -c synchronous_commit=off"
    fi
    echo "$options"
}

# A server that was killed leaves its pid file. PostgreSQL takes a zombie for a running server, and so would refuse to
# start for ever; nobody else uses this folder, so the file may go unless its process really serves it.
forget_killed_postgres() {
    local data=$RUN_FOLDER/postgres/data pid process
    [ -s "$data/postmaster.pid" ] || return 0
    pid=$(head -n 1 "$data/postmaster.pid")
    process=$(process_identity "$pid") || process=''
    if process_alive "$process" && tr '\0' ' ' <"/proc/$pid/cmdline" | grep -qF -- "$data"; then
        POSTGRES_PROCESS=$process
        stop_postgres
    fi
    rm -f "$data/postmaster.pid"
}

start_postgres() {
    local folder=$RUN_FOLDER/postgres log
    forget_killed_postgres
    log=$folder/log
    if [ ! -f "$folder/data/PG_VERSION" ]; then
        rm -rf "$folder"
        mkdir -p "$folder"
        if is_root; then chown postgres "$folder"; fi
        (cd / && LC_ALL=C.UTF-8 as_postgres "$POSTGRES_BIN/initdb" -D "$folder/data" -U bekal -A trust -E UTF8 --locale=C.UTF-8 \
            >"$LOCAL_DIR/initdb.log" 2>&1 9>&-) || fail "initdb failed:"$'\n'"$(tail -n 20 "$LOCAL_DIR/initdb.log")"
    fi
    (cd / && as_postgres "$POSTGRES_BIN/pg_ctl" -D "$folder/data" -l "$log" -w -t 60 -o "$(postgres_options)" start \
        </dev/null >/dev/null 2>&1 9>&-) || return 1
    POSTGRES_PROCESS=$(process_identity "$(head -n 1 "$folder/data/postmaster.pid")")
}

stop_postgres() {
    local data=$RUN_FOLDER/postgres/data
    process_alive "$POSTGRES_PROCESS" || return 0
    # SIGINT is PostgreSQL's fast stop: clients are cut off, everything is written. SIGQUIT stops without that.
    kill -INT "${POSTGRES_PROCESS%%:*}" 2>/dev/null || true
    await_gone "$POSTGRES_PROCESS" 60 && return 0
    kill -QUIT "${POSTGRES_PROCESS%%:*}" 2>/dev/null || true
    await_gone "$POSTGRES_PROCESS" 20 || say "warning: the database server of $data does not end"
}

# ---- RabbitMQ ----

write_broker_config() {
    local folder=$RUN_FOLDER/rabbitmq
    mkdir -p "$folder"
    echo '[rabbitmq_management].' >"$folder/plugins"
    : >"$folder/none"
    cat >"$folder/broker.conf" <<CONF
management.tcp.ip = 127.0.0.1
management.tcp.port = $BROKER_MANAGEMENT_PORT
# Counters every second: tests wait for them.
collect_statistics_interval = 1000
disk_free_limit.absolute = 100MB
CONF
    echo '[{rabbit, [{quorum_tick_interval, 1000}]}].' >"$folder/advanced.config"
}

start_broker() {
    local folder=$RUN_FOLDER/rabbitmq
    write_broker_config
    # In the foreground of a process of our own: `erl` would start a daemon whose id nobody knows.
    env ERL_EPMD_PORT="$EPMD_PORT" ERL_EPMD_ADDRESS=127.0.0.1 HOME="$folder" \
        setsid epmd </dev/null >/dev/null 2>&1 9>&- &
    EPMD_PROCESS=$(process_identity $!) || return 1

    rm -f "$folder/pid"
    # The script of the package directly: the one in /usr/sbin changes user and folder.
    env HOME="$folder" \
        RABBITMQ_CONF_ENV_FILE="$folder/none" \
        RABBITMQ_NODENAME="bekal-$(folder_tag)@localhost" \
        RABBITMQ_NODE_IP_ADDRESS=127.0.0.1 \
        RABBITMQ_NODE_PORT="$BROKER_PORT" \
        RABBITMQ_DIST_PORT="$BROKER_DISTRIBUTION_PORT" \
        ERL_EPMD_PORT="$EPMD_PORT" \
        ERL_EPMD_ADDRESS=127.0.0.1 \
        RABBITMQ_MNESIA_BASE="$folder/mnesia" \
        RABBITMQ_LOG_BASE="$folder/log" \
        RABBITMQ_ENABLED_PLUGINS_FILE="$folder/plugins" \
        RABBITMQ_CONFIG_FILE="$folder/broker" \
        RABBITMQ_ADVANCED_CONFIG_FILE="$folder/advanced.config" \
        RABBITMQ_PID_FILE="$folder/pid" \
        RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='-kernel inet_dist_use_interface {127,0,0,1} +S 2:2 +sbwt none' \
        ERL_CRASH_DUMP_SECONDS=0 \
        setsid "$RABBITMQ_SERVER" </dev/null >"$folder/out" 2>&1 9>&- &
    BROKER_WRAPPER=$(process_identity $!) || return 1
    # Written before the wait: an interrupted `up` leaves nothing that `down` would not find.
    save_state
    await_broker
}

# Waits until the node answers over HTTP, and keeps its id: the pid file vanishes before the node is gone.
await_broker() {
    local pid_file=$RUN_FOLDER/rabbitmq/pid turns=0 pid
    until broker_answers; do
        process_alive "$BROKER_WRAPPER" || return 1
        if [ -z "$BROKER_PROCESS" ] && [ -s "$pid_file" ]; then
            pid=$(cat "$pid_file")
            BROKER_PROCESS=$(process_identity "$pid") || BROKER_PROCESS=''
            save_state
        fi
        turns=$((turns + 1))
        [ "$turns" -lt 600 ] || return 1
        sleep 0.1
    done
    [ -n "$BROKER_PROCESS" ] || BROKER_PROCESS=$(process_identity "$(cat "$pid_file")")
}

# guest:guest in base 64; spoken over bash's own sockets because curl may not be installed.
broker_answers() (
    exec 2>/dev/null
    exec 3<>"/dev/tcp/127.0.0.1/$BROKER_MANAGEMENT_PORT" || exit 1
    printf 'GET /api/whoami HTTP/1.0\r\nAuthorization: Basic Z3Vlc3Q6Z3Vlc3Q=\r\n\r\n' >&3
    read -r -t 5 line <&3 && [[ $line == *' 200 '* ]]
)

stop_broker() {
    end_process "$BROKER_PROCESS" 60
    end_process "$BROKER_WRAPPER" 10
    end_process "$EPMD_PROCESS" 10
    BROKER_PROCESS='' BROKER_WRAPPER='' EPMD_PROCESS=''
}

# ---- The stack ----

stack_running() {
    process_alive "$POSTGRES_PROCESS" && process_alive "$BROKER_PROCESS" && broker_answers
}

stop_servers() {
    stop_broker
    stop_postgres
    POSTGRES_PROCESS=''
    save_state
}

# Starts both servers on free ports. Another stack may take a port between the look and the start: then the next slot.
start_servers() {
    local attempt
    for attempt in 1 2 3 4 5; do
        choose_slot
        if start_postgres && save_state && start_broker; then
            save_state
            return 0
        fi
        stop_servers
        slot_free || continue
        [ "$attempt" -lt 3 ] || break
    done
    say "the servers do not start; their last words:"
    tail -n 15 "$RUN_FOLDER/postgres/log" "$RUN_FOLDER/rabbitmq/out" >&2 2>/dev/null || true
    exit 1
}

write_env() {
    cat >"$ENV_FILE" <<ENV
DATABASE_SERVER=postgres://bekal@127.0.0.1:$POSTGRES_PORT
DATABASE_URL=postgres://bekal@127.0.0.1:$POSTGRES_PORT/postgres
BROKER_URL=amqp://guest:guest@127.0.0.1:$BROKER_PORT/%2f
BROKER_MANAGEMENT_URL=http://guest:guest@127.0.0.1:$BROKER_MANAGEMENT_PORT
ENV
}

# Brings the stack up in the mode `durable` or `fast`. A running durable stack serves the wish for a fast one;
# a running fast one is restarted for the wish for a durable one.
stack_up() {
    open_local_dir
    load_state
    install_missing
    choose_run_folder
    SLOT=${SLOT:-0}
    set_ports
    if stack_running && { [ "$MODE" = durable ] || [ "$1" = fast ]; }; then
        say "already running in $LOCAL_DIR ($MODE)"
    else
        stop_servers
        MODE=$1
        say "starting PostgreSQL and RabbitMQ in $RUN_FOLDER ($MODE)"
        start_servers
    fi
    write_env
}

# Ends the processes that a kept demo left in the file `processes`, one "NAME PID:START_TIME" a line; they drain first.
end_listed_processes() {
    [ -f "$PROCESSES_FILE" ] || return 0
    local name process
    while read -r name process; do
        if process_alive "$process"; then
            say "ending $name"
            kill -TERM "${process%%:*}" 2>/dev/null || true
        fi
    done <"$PROCESSES_FILE"
    while read -r name process; do
        end_process "$process" 30
    done <"$PROCESSES_FILE"
    rm -f "$PROCESSES_FILE"
}

stack_down() {
    open_local_dir
    load_state
    end_listed_processes
    if [ -n "$SLOT" ]; then
        set_ports
        stop_servers
    fi
    rm -f "$ENV_FILE"
}

# Deletes what the stack made, and nothing else: the folder may hold files of somebody else.
stack_purge() {
    if [ -n "$RUN_FOLDER" ]; then
        rm -rf "$RUN_FOLDER/postgres" "$RUN_FOLDER/rabbitmq"
        if [ "$RUN_FOLDER" != "$LOCAL_DIR" ]; then rmdir "$RUN_FOLDER"; fi
    fi
    rm -rf "$LOCAL_DIR/demo" "$LOCAL_DIR/draw.bundle"
    rm -f "$STATE_FILE" "$LOCAL_DIR/install.log" "$LOCAL_DIR/initdb.log" "$LOCAL_DIR/lock"
    rmdir "$LOCAL_DIR" 2>/dev/null || say "note: $LOCAL_DIR holds other files and stays"
}
