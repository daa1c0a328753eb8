// Package slurm runs a campaign on a Slurm cluster. Start reading at [Prepare] and
// [Array.Submit].
//
// A campaign is submitted as a job array ([Array]). Element I runs "nb201 run DIR --chunk I/N" on
// the node and devices that Slurm assigns to it. Slurm balances the load: with more elements than
// devices, all devices are busy until the end. Elements do not take over each other's chunks, so
// nothing depends on locks between hosts.
//
// Slurm runs an element at least once: after a node failure or a restart of its daemons it may
// start an element again while the old process continues, or after it finished. That is harmless.
// A trial is done when its record exists, the first record published stays, a claim keeps a second
// process from training the same trial where the file system has locks, and failed attempts are
// counted in the campaign.
//
// When Slurm warns an element that its time is ending (SIGUSR1), it writes checkpoints and requeues
// itself ([Requeue]). [ReadQueue] returns the elements in the queue; the remaining work can be
// submitted as another array. This package calls Slurm's client programs, whose answers never
// decide which trials are done.
package slurm
