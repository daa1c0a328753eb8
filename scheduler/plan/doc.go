// Package plan says what a campaign is to train, and in which order.
//
// A plan (Plan) stands in the campaign directory as plan.json. It has parts: each is
// some architectures, on some datasets, along some schedules, from some seeds, and
// stands for every trial that these make; a trial that two parts name is one trial. The
// settings are what all trials have in common. The datasets' definitions and the
// schedules' recipes stand in the plan as they were when it was made, so that no trial
// depends on a file, or on a version of this program, that may change.
//
// A plan can be extended, and keeps what is done: a trial is done when its record
// stands (results.Campaign). What finished trials were trained with cannot be changed.
//
// A chunk is one of N shares of a plan, for a machine of several that work it. An
// estimate says what trials cost: images, hours and disk.
package plan
