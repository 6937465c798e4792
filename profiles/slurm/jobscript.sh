#!/bin/sh
# properties = {properties}
# Keep the exit status, which the scheduler forgets after a while; see status.sh.
trap 'echo $? > "$SLURM_SUBMIT_DIR/.snakemake/slurm/$SLURM_JOB_ID.exit"' EXIT
{exec_job}
