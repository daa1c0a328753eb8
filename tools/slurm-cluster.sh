#!/usr/bin/env bash
# A Slurm cluster on this host, to try nb201 slurm on and to test it: nodes that are
# daemons, with Slurm's default limits on jobs and arrays. It needs neither systemd nor
# root, its daemons listen on 127.0.0.1 alone, and it writes nothing outside DIR.
#
#   tools/slurm-cluster.sh up DIR       start it, or what of it does not run
#   . DIR/env                           sbatch, squeue, scancel, ... speak to it from now on
#   tools/slurm-cluster.sh status DIR   its nodes
#   tools/slurm-cluster.sh down DIR     end its jobs and its daemons; DIR stays
#
# When DIR is made, NODES is the number of nodes (2, at most 19), CPUS of the CPUs of a node
# (4) and GPUS of its GPUs (0), which are names without a device. OWNER is a process (a
# number): when it has ended, the cluster goes down.
#
# It needs Debian's packages slurmctld, slurmd, slurm-client and munge, or the same of
# others, with a slurmd that is built to run several times on a host.
set -euo pipefail

usage() {
	sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}" >&2
	exit 2
}

[ $# -eq 2 ] || usage
verb=$1 dir=$(realpath -m "$2")
export SLURM_CONF=$dir/slurm.conf PATH=$PATH:/usr/sbin:/sbin

# running NAME prints the process of a daemon. Its file may be stale, and the number
# another's by now: it must be one that knows the directory. A zombie has no command line.
running() {
	local pid
	pid=$(cat "$dir/run/$1.pid" 2>/dev/null) && [ -n "$pid" ] &&
		tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -qF "$dir" && echo "$pid"
}

# stop NAME ends a daemon, and kills it when it does not end within ten seconds.
stop() {
	local pid attempt
	pid=$(running "$1") || return 0
	kill "$pid"
	for ((attempt = 0; attempt < 100; attempt++)); do
		running "$1" >/dev/null || return 0
		sleep 0.1
	done
	kill -9 "$pid"
}

nodes() { sed -n 's/^NodeName=\([^ ]*\) .*/\1/p' "$SLURM_CONF"; }

# free_ports N prints the first of N ports in a row on which nobody listens. Where it looks
# is drawn, so that clusters that start at the same time find different ones.
free_ports() {
	local attempt first port
	for ((attempt = 0; attempt < 100; attempt++)); do
		first=$((16800 + RANDOM % 600 * 20))
		for ((port = first; port < first + $1; port++)); do
			! (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null || continue 2
		done
		echo "$first"
		return
	done
	echo 'no free ports' >&2
	return 1
}

# configure describes the cluster. A controller forgets a dead node, and a node a lost
# job, within half a minute, which takes minutes by default.
configure() {
	local host port node
	host=$(hostname -s)
	port=$(free_ports $((${NODES:-2} + 1)))
	mkdir -p "$dir"/{run,log,state,spool,gpus}
	chmod a+x "$dir" # or munged refuses its socket
	(umask 077 && mkdir -p "$dir/munge" && head -c 1024 /dev/urandom >"$dir/munge/key")
	for ((node = 0; node < ${GPUS:-0}; node++)); do
		ln -s /dev/null "$dir/gpus/gpu$node"
	done
	if [ "${GPUS:-0}" -gt 0 ]; then
		echo "Name=gpu File=$dir/gpus/gpu[0-$((GPUS - 1))]" >"$dir/gres.conf"
	fi
	{
		cat <<-END
			ClusterName=nb201
			SlurmctldHost=$host(127.0.0.1)
			SlurmctldPort=$port
			CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
			SlurmUser=$(id -un)
			SlurmdUser=$(id -un)
			AuthInfo=socket=$dir/run/munge.socket,cred_expire=5
			StateSaveLocation=$dir/state
			SlurmdSpoolDir=$dir/spool/%n
			SlurmctldPidFile=$dir/run/slurmctld.pid
			SlurmdPidFile=$dir/run/slurmd.%n.pid
			SlurmctldLogFile=$dir/log/slurmctld.log
			SlurmdLogFile=$dir/log/slurmd.%n.log
			ProctrackType=proctrack/linuxproc
			SelectType=select/cons_tres
			SelectTypeParameters=CR_CPU
			GresTypes=gpu
			SlurmdParameters=config_overrides
			ReturnToService=2
			SlurmdTimeout=6
			KillWait=5
			SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0
		END
		for ((node = 0; node < ${NODES:-2}; node++)); do
			echo "NodeName=node$node NodeHostname=$host NodeAddr=127.0.0.1 Port=$((port + 1 + node))" \
				"CPUs=${CPUS:-4} Gres=gpu:${GPUS:-0}"
		done
		echo 'PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP'
	} >"$SLURM_CONF.new"
	echo "export SLURM_CONF=$SLURM_CONF" >"$dir/env"
	mv "$SLURM_CONF.new" "$SLURM_CONF"
}

# watch takes the cluster down when the process OWNER has ended.
watch() {
	while kill -0 "$OWNER" 2>/dev/null; do
		sleep 1
	done
	down
}

up() {
	local program node attempt
	for program in munged slurmctld slurmd sbatch; do
		if ! command -v "$program" >/dev/null; then
			echo "no $program here: install Slurm (in Debian: slurmctld slurmd slurm-client munge)" >&2
			exit 1
		fi
	done
	[ -e "$SLURM_CONF" ] || configure
	running munged >/dev/null || munged --key-file="$dir/munge/key" --socket="$dir/run/munge.socket" \
		--pid-file="$dir/run/munged.pid" --log-file="$dir/munge/log" --seed-file="$dir/munge/seed" --num-threads=2
	running slurmctld >/dev/null || slurmctld -f "$SLURM_CONF"
	for node in $(nodes); do
		running "slurmd.$node" >/dev/null || slurmd -N "$node" -f "$SLURM_CONF"
	done
	if [ -n "${OWNER:-}" ] && ! running watch >/dev/null; then
		setsid "${BASH_SOURCE[0]}" watch "$dir" </dev/null >/dev/null 2>&1 &
		echo $! >"$dir/run/watch.pid"
	fi
	for ((attempt = 0; attempt < 150; attempt++)); do
		if [ "$(sinfo -h -N -t idle,alloc,mix -o %N 2>/dev/null | wc -l)" -eq "$(nodes | wc -l)" ]; then
			return
		fi
		sleep 0.2
	done
	echo 'not all nodes came up:' >&2
	sinfo -N -l >&2
	tail -n 5 "$dir"/log/*.log >&2
	exit 1
}

# down has the controller end the jobs before the daemons end; what a killed slurmd or
# slurmstepd left of a job is killed.
down() {
	local node attempt environment pid
	[ -e "$SLURM_CONF" ] || return 0
	[ "$(running watch)" = $$ ] || stop watch
	if running slurmctld >/dev/null; then
		timeout 10 scancel --user="$(id -un)" 2>/dev/null || :
		for ((attempt = 0; attempt < 60; attempt++)); do
			[ -n "$(timeout 5 squeue -h -t R,CG 2>/dev/null)" ] || break
			sleep 0.25
		done
	fi
	for node in $(nodes); do
		stop "slurmd.$node"
	done
	stop slurmctld
	stop munged
	for environment in /proc/[0-9]*/environ; do
		pid=$(basename "$(dirname "$environment")")
		if [ "$pid" != $$ ] && { tr '\0' '\n' <"$environment" | grep -xF "SLURM_CONF=$SLURM_CONF"; } >/dev/null 2>&1 &&
			{ tr '\0' '\n' <"$environment" | grep ^SLURM_JOB_ID= ||
				grep slurmstepd "/proc/$pid/comm"; } >/dev/null 2>&1; then
			kill -9 "$pid" 2>/dev/null || :
		fi
	done
}

status() {
	running munged >/dev/null && running slurmctld >/dev/null && sinfo -N -o '%N %T %c %G'
}

case $verb in
up | down | status | watch) "$verb" ;;
*) usage ;;
esac
