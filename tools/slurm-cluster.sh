#!/usr/bin/env bash
# Runs a Slurm cluster on this host, to try and to test nb201 slurm. Its nodes are daemons, and
# it has Slurm's default limits on jobs and arrays. It needs neither systemd nor root, its
# daemons listen on 127.0.0.1 only, and it writes only to DIR.
#
#   tools/slurm-cluster.sh up DIR       start it, or those of its daemons that are not running
#   . DIR/env                           make sbatch, squeue, scancel, ... use it
#   tools/slurm-cluster.sh status DIR   show its nodes
#   tools/slurm-cluster.sh down DIR     end its jobs and its daemons; DIR stays
#
# Environment variables for a new DIR: NODES is the number of nodes (default 2, at most 19), CPUS
# the number of CPUs per node (4), GPUS the number of GPUs per node (0), which are only names.
# OWNER is a process ID; the cluster goes down when that process ends.
#
# It needs slurmctld, slurmd, slurm-client and munge, as packaged by Debian: slurmd must be built
# to run several times on a host.
set -euo pipefail

usage() {
	sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}" >&2
	exit 2
}

[ $# -eq 2 ] || usage
verb=$1 dir=$(realpath -m "$2")
export SLURM_CONF=$dir/slurm.conf PATH=$PATH:/usr/sbin:/sbin

# running NAME prints the process ID of a daemon if it is running. The PID file may be stale and
# the ID reused, so the command line must contain the directory. A zombie has no command line.
running() {
	local pid
	pid=$(cat "$dir/run/$1.pid" 2>/dev/null) && [ -n "$pid" ] &&
		tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -qF "$dir" && echo "$pid"
}

# stop NAME ends a daemon, and kills it if it has not ended after ten seconds.
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

# free_ports N prints the first of N consecutive free ports. It starts at a random port, so that
# clusters that start at the same time find different ones.
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
	echo 'slurm-cluster.sh: no free ports between 16800 and 28800' >&2
	return 1
}

# configure writes the configuration of the cluster. With its timeouts, the controller notices a
# dead node, and a node a lost job, within half a minute; by default that takes minutes.
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

# watch shuts the cluster down when the process OWNER ends.
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
			echo "slurm-cluster.sh: $program is missing; install Slurm (Debian: slurmctld slurmd slurm-client munge)" >&2
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
	echo 'slurm-cluster.sh: some nodes did not start:' >&2
	sinfo -N -l >&2
	tail -n 5 "$dir"/log/*.log >&2
	exit 1
}

# down lets the controller end the jobs, ends the daemons, and kills job processes that a killed
# slurmd or slurmstepd left behind.
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
