// Package scheduler trains the plan of a campaign. Start reading at [Run].
//
// A run is one process that supervises the plan, or a chunk of it, on one host. It hands trials
// to worker processes, one or more per device, each of which trains and publishes one trial at a
// time. A trial is done when its record exists ([results.Campaign]). Nothing else decides that,
// so a run can be killed at any moment and started again.
//
// A worker claims the trial that it trains, so that other runs on the campaign leave it alone.
// The trials of a unit (architecture, dataset and schedule, with all seeds) go to one worker in
// sequence, because they share compiled programs. An attempt fails when its worker crashes,
// hangs, runs out of memory or reports an error; after [Options.MaxAttempts] failed attempts the
// trial has failed. Neither a worker that is stopped, which leaves a checkpoint, nor a full
// disk, which pauses the run, counts as a failed attempt.
//
// Packages below: attempt trains a trial into a campaign; worker is the worker process and its
// messages; trainer connects it to package train; state is a run's published state, status the
// state of a whole campaign, plan what it trains; slurm and kubernetes run chunks on a cluster.
package scheduler
