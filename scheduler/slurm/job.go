package slurm

import (
	"context"
	"fmt"
)

// Job is the name by which Slurm knows the batch job, or the element of an array, that an
// environment is of; "" for none.
func Job(getenv func(string) string) string {
	array, element := getenv("SLURM_ARRAY_JOB_ID"), getenv("SLURM_ARRAY_TASK_ID")
	if array != "" && element != "" {
		return array + "_" + element
	}
	return getenv("SLURM_JOB_ID")
}

// Requeue has Slurm end a job, or an element, and put it back into its queue. Of the job
// that this process is in Slurm ends this process too.
func Requeue(ctx context.Context, job string) error {
	if _, err := call(ctx, "", "scontrol", "requeue", job); err != nil {
		return fmt.Errorf("cannot put job %s back into the queue: %w", job, err)
	}
	return nil
}
