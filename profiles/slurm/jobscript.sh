#!/bin/sh
# properties = {properties}
# Its exit status outlives the scheduler's memory of the job; see status.sh.
trap 'echo $? > "$SLURM_SUBMIT_DIR/.snakemake/slurm/$SLURM_JOB_ID.exit"' EXIT
{exec_job}
