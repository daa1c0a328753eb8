// Package train trains one trial: an architecture on a dataset, from the initial
// weights that a seed gives, along a schedule, with every evaluation set evaluated
// after every epoch. It leaves the curves and the trained weights.
//
// The way of a trial is that of the original's evaluate_for_seed
// (xautodl/procedures/funcs_nasbench.py): seed, initial weights, the draws of
// get_model_infos, then, epoch by epoch, the training loader and the evaluation
// loaders, each drawing from the same streams.
//
// A Session takes a Config, which says what to train and how, through a trial: its stages,
// one after another, to its record. What of it lives on the device is in package device,
// what it leaves while it is under way in package checkpoint.
package train
