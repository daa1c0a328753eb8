// Package train trains one trial: an architecture on a dataset, with a schedule, from the
// initial weights that a seed draws. After every epoch it evaluates every evaluation set. The
// result is a record, with the curves, and the trained weights.
//
// A trial follows the original's evaluate_for_seed (xautodl/procedures/funcs_nasbench.py):
// seed the random streams, draw the initial weights, draw what get_model_infos draws, then
// run the training loader and the evaluation loaders epoch by epoch, all on the same streams.
//
// Start reading at [Session.Run]. A [Session] owns the compiled programs and the images and
// runs trials one after another; a [Config] is one trial with all that it depends on, resolved
// from [Options]. A trial is a sequence of stages: in each epoch, one pass over the training
// set and one over each evaluation set. Package device holds what lives on the device, package
// checkpoint the files from which an interrupted trial resumes.
package train
