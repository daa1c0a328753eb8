// Package scheduler works the plan of a campaign.
//
// A run (Run) is a process that works a plan, or a chunk of it, on a host. It feeds
// trials to its workers: processes of their own, one or more a device, each of which
// trains one trial at a time and publishes it (Worker, Trainer). What is done is what
// has a record in the campaign (results.Campaign); no other state decides anything, so
// that a run can be killed at any moment and begun again.
//
// A worker claims a trial while it is at it: a lock that the kernel frees when the
// worker dies keeps other runs on the same campaign from training it too. A unit is all
// seeds of an architecture on a dataset along a schedule; its trials go to one worker
// one after another, as they share compiled programs.
//
// An attempt at a trial fails when its worker crashes, hangs, runs out of memory or
// reports an error. After so many failed attempts the trial is set aside (Failure). A
// worker that is told to leave has its trial leave a checkpoint; that is no failed
// attempt, nor is a full disk, which pauses the run.
//
//	DIR/running/000123/cifar10/0012-0777/        the claim and the checkpoints of a trial under way
//	DIR/running/HOST-PID.json                    the state of a run (RunState)
//	DIR/failed/000123/cifar10/0012-0777.json     the failed attempts at a trial (Failure)
//	DIR/logs/HOST-PID-DEVICE-INDEX.log           the log of a worker
package scheduler
