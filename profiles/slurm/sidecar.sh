#!/bin/sh
# Runs next to Snakemake and prints a name for the run, which its jobs get. When Snakemake ends, for
# example by Ctrl-C, it cancels remaining jobs, such as one just being submitted. If Snakemake was
# killed, it does nothing: the jobs continue, and the next run takes them over.
trap '' INT
run="medalign-$(hostname)-$$-$(date +%s)"
trap 'scancel --me --name="$run"; exit' TERM
echo "$run"
snakemake=$PPID
while kill -0 "$snakemake" 2>/dev/null; do
    sleep 1
done
