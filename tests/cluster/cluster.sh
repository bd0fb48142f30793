#!/bin/bash
# A Slurm cluster of three hosts on this machine, for as long as a command runs:
#
#     tests/cluster/cluster.sh FOLDER[:FOLDER...] COMMAND [ARGUMENT...]
#     tests/cluster/cluster.sh --missing      # says what is missing for that here, and how to get it; nothing where all is there
#
# `ctl` has the controller and runs the command; `n1` and `n2` are nodes of two CPUs. Each is a host of its own: name,
# address, processes, /tmp, /dev/shm and /run (namespaces). The folders, given by absolute paths, are shared by all
# three as a file system of a cluster would be, also where they lie in /tmp. The status is that of the command; all of
# it ends with the command, and nothing is written outside the folders.
#
# Inside, `kill -9 $(cat /run/cluster/n1.pid)` is n1's power failure.
#
# Folders under /mnt cannot be shared: all hosts hide it. Needs root, Linux, and, by Debian's names, slurmctld, slurmd,
# slurm-client, munge, iproute2 and util-linux.
set -eu

if [ "${1:-}" = --missing ]; then
  PATH=$PATH:/usr/sbin:/sbin
  for program in slurmctld slurmd sbatch munged; do
    command -v "$program" >/dev/null && continue
    echo "Slurm is not installed; apt-get install --no-install-recommends slurmctld slurmd slurm-client munge iproute2 util-linux"
    exit
  done
  unshare --net --uts --ipc --mount --pid --fork --mount-proc ip link add br0 type bridge 2>/dev/null ||
    echo "no hosts can be made here: that takes root, namespaces and bridges"
  exit
fi

if [ -z "${TUNEBENCH_IN_CLUSTER:-}" ]; then
  [ $# -ge 2 ] || { echo "usage: $0 FOLDER[:FOLDER...] COMMAND [ARGUMENT...]" >&2; exit 2; }
  exec env TUNEBENCH_IN_CLUSTER=1 unshare --net --uts --ipc --mount --pid --fork --mount-proc --kill-child "$0" "$@"
fi

here=$(cd "$(dirname "$0")" && pwd)
folders=$1
shift

case ":$folders:" in
  *:/mnt*) echo "$0: no folder under /mnt can be shared" >&2; exit 2 ;;
esac
# Folders are held at /mnt/shared/N, which no host hides, and put back where they were once /tmp is another.
mount -t tmpfs tmpfs /mnt
number=0
IFS=:
for folder in $folders; do
  mkdir -p "/mnt/shared/$number"
  mount --bind "$folder" "/mnt/shared/$number"
  number=$((number + 1))
done
unset IFS

# What a host has for itself.
cat > /mnt/host.sh <<'HOST'
host() {
  hostname "$1"
  ip link set lo up
  for folder in /tmp /dev/shm /run; do mount -t tmpfs tmpfs "$folder"; done
  local number=0 folder IFS=:
  for folder in $2; do
    mkdir -p "$folder"
    mount --bind "/mnt/shared/$number" "$folder"
    number=$((number + 1))
  done
  mkdir -p /run/munge /run/slurm /run/cluster
  chown munge:munge /run/munge
  setpriv --reuid=munge --regid=munge --clear-groups \
    munged --num-threads=2 --log-file=/run/munge/log --seed-file=/run/munge/seed
}
HOST
printf '127.0.0.1 localhost\n10.77.0.1 ctl\n10.77.0.11 n1\n10.77.0.12 n2\n' > /mnt/hosts
mount --bind /mnt/hosts /etc/hosts
mkdir -p /etc/slurm
mount -t tmpfs tmpfs /etc/slurm
cp "$here/slurm.conf" "$here/cgroup.conf" /etc/slurm/
mount -t tmpfs tmpfs /etc/munge
head -c 1024 /dev/urandom > /etc/munge/munge.key
chown -R munge:munge /etc/munge
chmod 700 /etc/munge
chmod 400 /etc/munge/munge.key
PATH=$PATH:/usr/sbin:/sbin

. /mnt/host.sh
host ctl "$folders"
ip link add br0 type bridge
ip addr add 10.77.0.1/24 dev br0
ip link set br0 up
mkdir /run/slurm/state
slurmctld

for number in 1 2; do
  # The first process of a node takes in what others leave behind, as any init does; it must outlive slurmd's start.
  unshare --net --uts --ipc --mount --pid --fork --mount-proc --kill-child bash -eu -c '
    . /mnt/host.sh
    host "n$1" "$2"
    until ip link show eth0 >/dev/null 2>&1; do sleep 0.01; done
    ip addr add "10.77.0.1$1/24" dev eth0
    ip link set eth0 up
    slurmd -D -N "n$1" &
    wait
  ' node "$number" "$folders" >"/run/slurm/n$number.log" 2>&1 &
  pid=$!
  disown "$pid"
  echo "$pid" > "/run/cluster/n$number.pid"
  own=$(readlink /proc/self/ns/net)
  until [ "$(readlink "/proc/$pid/ns/net")" != "$own" ]; do sleep 0.01; done
  ip link add "v$number" type veth peer name eth0 netns "$pid"
  ip link set "v$number" master br0 up
done

for _ in $(seq 200); do
  [ "$(sinfo -h -N -o %T | sort -u)" = idle ] && break
  sleep 0.1
done
if [ "$(sinfo -h -N -o %T | sort -u)" != idle ]; then
  echo "the nodes of the cluster do not come up:" >&2
  sinfo -N -l >&2
  tail -n 20 /run/slurm/*.log >&2
  exit 1
fi

status=0
"$@" || status=$?
[ "$status" = 0 ] || tail -n 40 /run/slurm/ctld.log >&2
# The first process of a PID namespace: with it, everything inside ends.
exit "$status"
