#!/bin/sh
# Runs beside Snakemake. Names the run, which its jobs bear, and when Snakemake ends, by Ctrl-C for
# one, cancels what is left of them, such as a job that was just being submitted. If Snakemake was
# killed it does nothing: the jobs go on, and the next run takes them over.
trap '' INT
run="medalign-$(hostname)-$$-$(date +%s)"
trap 'scancel --me --name="$run"; exit' TERM
echo "$run"
snakemake=$PPID
while kill -0 "$snakemake" 2>/dev/null; do
    sleep 1
done
