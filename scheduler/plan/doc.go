// Package plan defines what a campaign trains, in which order, and what that costs. Start reading
// at [Plan], [Read] and [New].
//
// A plan is the file plan.json of a campaign. Each of its parts names architectures, datasets,
// schedules and seeds, and stands for all trials that combine them; a trial that two parts name
// is one trial. All trials share the plan's settings. The plan contains copies of the datasets'
// definitions and the schedules' recipes, so that no trial depends on a file, or a version of
// nb201, that may change.
//
// A plan can be extended ([Plan.Extend]) as long as the settings of finished trials stay the
// same; a trial is finished when its record exists ([results.Campaign]). Several machines can
// share a plan by chunks ([Plan.Chunk]). [Plan.Estimate] returns the cost of trials: images,
// hours and disk space.
package plan
