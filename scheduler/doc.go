// Package scheduler works the plan of a campaign.
//
// A run (Run) is a process that works a plan, or a chunk of it, on a host. It feeds
// trials to its workers: processes of their own, one or more a device, each of which
// trains one trial at a time and publishes it. What is done is what has a record in the
// campaign (results.Campaign); no other state decides anything, so that a run can be
// killed at any moment and begun again.
//
// A worker claims a trial while it is at it, which keeps other runs on the same campaign
// from training it too. A unit is all seeds of an architecture on a dataset along a
// schedule; its trials go to one worker one after another, as they share compiled programs.
//
// An attempt at a trial fails when its worker crashes, hangs, runs out of memory or
// reports an error. After so many failed attempts the trial is set aside. A worker that
// is told to leave has its trial leave a checkpoint; that is no failed attempt, nor is a
// full disk, which pauses the run.
//
// This package is the supervisor, which starts no trial itself. The packages below it:
//
//   - attempt trains a trial into a campaign: claim, publication, failures
//   - worker is the process that trains, and its messages
//   - trainer trains through train.Session
//   - state is what a run says of itself in DIR/running/HOST-PID.json
//   - status finds out how far a campaign is
//   - plan is what a campaign trains
//   - slurm and kubernetes have a cluster run a campaign's chunks
//
// DIR/logs/HOST-PID-DEVICE-INDEX.log is the log of a worker.
package scheduler
