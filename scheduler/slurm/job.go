package slurm

import (
	"context"
	"fmt"
)

// Job returns Slurm's name for the batch job, or the array element (JOB_ELEMENT), to which an
// environment belongs; "" outside of Slurm.
func Job(getenv func(string) string) string {
	array, element := getenv("SLURM_ARRAY_JOB_ID"), getenv("SLURM_ARRAY_TASK_ID")
	if array != "" && element != "" {
		return array + "_" + element
	}
	return getenv("SLURM_JOB_ID")
}

// Requeue makes Slurm end a job or an array element and put it back into the queue. If this process
// belongs to the job, Slurm ends it, too.
func Requeue(ctx context.Context, job string) error {
	if _, err := runProgram(ctx, "", "scontrol", "requeue", job); err != nil {
		return fmt.Errorf("cannot requeue job %s: %w; \"scontrol requeue %s\" does it by hand", job, err, job)
	}
	return nil
}
