#!/bin/sh
# Prints the state of a job, given its id: running, success or failed.
trap '' INT # leave Ctrl-C to Snakemake, which then cancels the running jobs
found=$(scontrol -o show job "$1" 2>&1)
state=$(echo "$found" | sed -n 's/.* JobState=\([A-Z_]*\).*/\1/p')
case "$state,$found" in
COMPLETED,*) echo success ;;
BOOT_FAIL,* | CANCELLED,* | DEADLINE,* | FAILED,* | NODE_FAIL,* | OUT_OF_MEMORY,* | PREEMPTED,* | \
    REVOKED,* | TIMEOUT,*) echo failed ;;
,*"Invalid job id"*) # the scheduler has forgotten it; jobscript.sh kept its exit status
    [ "$(cat ".snakemake/slurm/$1.exit" 2>/dev/null)" = 0 ] && echo success || echo failed ;;
*) echo running ;; # or pending, completing, ...; or the controller does not answer
esac
