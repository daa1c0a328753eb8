package report

import (
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"nb201/cell"
	"nb201/internal/inert"
)

// This file is the contract between the program and the page: what the page's script receives as
// JSON, and how numbers that are too many for JSON are packed beside it (pack.go). The script reads
// it in page/data.js.

// content holds what the page shows.
type content struct {
	Program string `json:"program"` // name and version of the program
	Source  source `json:"source"`
	// Notes are sentences about what the page leaves out or rounds.
	Notes []string `json:"notes"`

	Index  column     `json:"index"`  // of each architecture, ascending; all other columns follow its order
	Code   column     `json:"code"`   // the options at all places as digits of a number to the base of their number, the first lowest
	Class  column     `json:"class"`  // isomorphism class: the smallest index in it
	Space  cell.Parts `json:"space"`  // of the search space
	Groups []group    `json:"groups"` // in the order of results.Trial.Compare

	Measures []measure    `json:"measures"`
	Kendall  [][]*float64 `json:"kendall"`  // tau-b between measures i and j; null: undefined
	Spearman [][]*float64 `json:"spearman"` // rho
	Common   [][]int      `json:"common"`   // architectures that have both measures

	Against  *against `json:"against,omitempty"`
	Health   health   `json:"health"`
	Campaign any      `json:"campaign,omitempty"` // see [Options]
}

// json returns the content as one line of JSON, which may be inside an HTML script element. All of
// its text is safe to print.
func (c *content) json() ([]byte, error) {
	return json.Marshal(c, json.Deterministic(true), jsontext.EscapeForHTML(true), json.WithMarshalers(inert.Marshalers()))
}

// source describes the benchmark.
type source struct {
	Path          string `json:"path"`
	Format        string `json:"format"`
	Architectures int    `json:"architectures"` // that have trials
	Trials        int    `json:"trials"`
}

// group holds the trials on one dataset with one schedule.
type group struct {
	Dataset  string `json:"dataset"`
	Schedule string `json:"schedule"` // its name in the benchmark
	Epochs   int    `json:"epochs"`
	Trials   int    `json:"trials"`
	Sets     []set  `json:"sets"` // the training set first
	// FLOPs and Params are in millions, Latency is in seconds for 256 images (mean over the trials
	// that measured it), Seconds is the mean time of all training passes of a trial.
	FLOPs   column  `json:"flops"`
	Params  column  `json:"params"`
	Latency *column `json:"latency"`
	Seconds *column `json:"seconds"`
	// Seeds has a column for the first trial of each architecture by seed, one for the second, and so
	// on. A value is missing where an architecture has fewer trials. TrialSeconds and the columns of
	// sets follow its order.
	Seeds        []column `json:"seeds"`
	TrialSeconds []column `json:"trial_seconds"`
	// Shown are the epochs, counted from 0, for which the curves have values; the last one is the
	// schedule's last. PerTrial says that the curves are those of the trials; otherwise they are
	// means over the trials, with standard deviations.
	Shown    []int `json:"shown"`
	PerTrial bool  `json:"per_trial"`
}

// set holds the measures of one set of images.
type set struct {
	Name   string   `json:"name"`   // "train" for the training set
	Images int      `json:"images"` // 0: unknown
	Top1   []column `json:"top1"`   // percent after the last epoch, for each trial of an architecture
	Loss   []column `json:"loss"`
	// Mean is the mean top-1 accuracy over the trials after the last epoch, percent.
	Mean column `json:"mean"`
	// OnlyLast says that no epoch but the last has an accuracy.
	OnlyLast bool `json:"only_last"`
	// Curves has a column for each of Shown, for each trial if PerTrial, or else for the mean. SD is
	// the standard deviation of the top-1 accuracy between trials; nil if PerTrial.
	Curves     []run `json:"curves"`
	LossCurves []run `json:"loss_curves"` // empty: left out
	SD         *run  `json:"sd,omitempty"`
}

// measure is the accuracy on a set after the last epoch, for rank correlations.
type measure struct {
	Group int `json:"group"`
	Set   int `json:"set"`
	// Early has the rank correlation (Kendall's tau-b) between the accuracy after each of Epochs and
	// after the last epoch, over the architectures that have both.
	Epochs []int      `json:"epochs"` // counted from 0
	Early  []*float64 `json:"early"`
}

// against compares the benchmark with another, B.
type against struct {
	Path          string       `json:"path"`
	Format        string       `json:"format"`
	Architectures int          `json:"architectures"`
	Common        int          `json:"common"`
	Skipped       int          `json:"skipped"`
	Comparisons   []comparison `json:"comparisons"`
}

// comparison compares the accuracies on one set.
type comparison struct {
	Dataset       string `json:"dataset"`
	Schedule      string `json:"schedule"` // a user's own recipe, the number of epochs, or both schedules compared
	Epochs        int    `json:"epochs"`   // 0: of two schedules
	Set           string `json:"set"`
	Trials        int    `json:"trials"` // in common; 0: means were compared
	Architectures int    `json:"architectures"`
	Top1          any    `json:"top1"` // *compare.Measure
	Loss          any    `json:"loss"`
	Worst         any    `json:"worst"` // []compare.Pair
	A             column `json:"a"`     // mean accuracy of each architecture in A and in B, percent
	B             column `json:"b"`
	Bins          []bin  `json:"bins"` // of the differences, B minus A
}

// bin counts the values from Low up to High.
type bin struct {
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
	Count int     `json:"count"`
}

// health says what the records report about how they were made. It is empty for formats that
// do not.
type health struct {
	Tables  []tally    `json:"tables"`          // devices, versions, kernels, ...
	First   *time.Time `json:"first,omitempty"` // when the first trial started
	Last    *time.Time `json:"last,omitempty"`  // when the last one finished
	Damaged []string   `json:"damaged"`         // what could not be read
}

// tally counts trials by a property of theirs.
type tally struct {
	Title string `json:"title"`
	Rows  []row  `json:"rows"`
}

// row counts the trials with one value of a property.
type row struct {
	Name   string  `json:"name"`
	Trials int     `json:"trials"`
	Hours  float64 `json:"hours"` // of all passes
}
