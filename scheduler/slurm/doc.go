// Package slurm works a campaign on the nodes of a cluster whose jobs Slurm runs.
//
// A campaign is sent as an array (Array): a job of many elements. An element works a chunk
// of the plan as "nb201 run DIR --chunk I/N", on the node and the devices that Slurm gives
// it; its number is I. Slurm balances: it gives an element to whoever is free, so that more
// elements than devices keep all of them at work to the end. An element does not help with
// others' chunks, and nothing depends on locks that hold between hosts.
//
// Slurm runs an element at least once. A node that is lost, a daemon that is killed, a
// controller that forgets: each may start an element anew while its old process goes on, or
// when it was done. That is harmless: a trial is done when its record stands, the first one
// published stays, a claim keeps a second process from training the same trial where the
// file system has locks, and failed attempts are counted in the campaign, not by Slurm.
//
// An element that is warned of the end of its time (SIGUSR1) leaves checkpoints and puts
// itself back into the queue (Requeue). The queue (ReadQueue) tells which elements wait or
// run; what is left besides can be sent in another array.
//
// Slurm's own programs do the talking. Nothing that they tell decides what is done.
package slurm
