package tables

import (
	"reflect"
	"strconv"
	"strings"

	"nb201/cell"
)

// In all tables, the rows of an architecture are adjacent; in those of trials and epochs,
// Architecture, Dataset, Schedule and Seed identify the trial. The tag late marks a last column that
// older tables lack, the tag key marks the columns that together identify a row, unit
// gives the unit of a column, and about describes it, with the words of the search space in braces.
type (
	// TrialRow is a row of the table trials: one trial.
	TrialRow struct {
		Architecture   int       `parquet:"architecture,delta" key:"yes" about:"index of the architecture, 0 to {last}"`
		Genotype       string    `parquet:"genotype,dict" about:"{string} of the architecture"`
		Dataset        string    `parquet:"dataset,dict" key:"yes" about:"dataset key"`
		Schedule       string    `parquet:"schedule,dict" key:"yes" about:"name of the training recipe: {schedules} in the benchmark"`
		Epochs         int       `parquet:"epochs,dict" about:"number of epochs of the schedule"`
		Seed           uint32    `parquet:"seed,dict" key:"yes" about:"seed of the trial"`
		Channels       int       `parquet:"channels,dict" about:"C: channels of the first stage{fixed}"`
		Cells          int       `parquet:"cells,dict" about:"N: cells in a stage{fixed}"`
		Classes        int       `parquet:"classes,dict" about:"classes of the dataset"`
		FLOPs          float64   `parquet:"flops_millions" unit:"millions" about:"multiply-adds for one image"`
		Params         float64   `parquet:"params_millions" unit:"millions" about:"parameters"`
		Latencies      []float64 `parquet:"latency_seconds_per_batch_of_256,list" unit:"seconds" about:"times of evaluation steps of 256 images; none: not measured"`
		EvaluationSets []string  `parquet:"evaluation_sets,list" about:"names of the evaluation sets in the table epochs, in order"`
		Recipe         string    `parquet:"recipe,dict" late:"yes" about:"a user's own recipe, as JSON; empty: the schedule is named by its number of epochs"`
	}
	// SpaceRow is a row of the table of the whole search space: the costs of an architecture's
	// network for one dataset. Its columns have the names that they have in [TrialRow].
	SpaceRow struct {
		Architecture int     `parquet:"architecture,delta" key:"yes" about:"index of the architecture, 0 to {last}"`
		Genotype     string  `parquet:"genotype,dict" about:"{string} of the architecture"`
		Class        int     `parquet:"isomorphism_class,dict" about:"the smallest index in the isomorphism class of the architecture"`
		Dataset      string  `parquet:"dataset,dict" key:"yes" about:"dataset key"`
		Channels     int     `parquet:"channels,dict" about:"C: channels of the first stage{fixed}"`
		Cells        int     `parquet:"cells,dict" about:"N: cells in a stage{fixed}"`
		Classes      int     `parquet:"classes,dict" about:"classes of the dataset"`
		Size         int     `parquet:"image_size_pixels,dict" unit:"pixels" about:"side of the square images"`
		FLOPs        float64 `parquet:"flops_millions,dict" unit:"millions" about:"multiply-adds for one image"`
		Params       float64 `parquet:"params_millions,dict" unit:"millions" about:"parameters"`
	}
	// EpochRow is a row of the table epochs: the measures on one set of images in one epoch of
	// a trial.
	EpochRow struct {
		Architecture int      `parquet:"architecture,delta" key:"yes" about:"index of the architecture, 0 to {last}"`
		Dataset      string   `parquet:"dataset,dict" key:"yes" about:"dataset key"`
		Schedule     string   `parquet:"schedule,dict" key:"yes" about:"name of the training recipe"`
		Seed         uint32   `parquet:"seed,dict" key:"yes" about:"seed of the trial"`
		Set          string   `parquet:"set,dict" key:"yes" about:"train for the training pass, measured before each update; else an evaluation set"`
		Epoch        int      `parquet:"epoch,delta" key:"yes" about:"counted from 0"`
		Loss         *float64 `parquet:"loss,optional" unit:"nats" about:"mean cross entropy; null: not kept"`
		Top1         *float64 `parquet:"top1_percent,optional" unit:"percent" about:"top-1 accuracy, 0 to 100; null: not kept"`
		Top5         *float64 `parquet:"top5_percent,optional" unit:"percent" about:"top-5 accuracy, 0 to 100; null: not kept"`
		Seconds      *float64 `parquet:"seconds,optional" unit:"seconds" about:"wall time of the whole pass; null: not kept"`
	}
)

// Names of the tables. In the table of epochs, [benchmark.TrainingSet] is the set of the
// training passes.
const (
	TrialsTable = "trials"
	EpochsTable = "epochs"
)

// Column describes a column of a table.
type Column struct {
	Name     string
	Unit     string // such as "seconds"; "" for none
	Type     string // integer, number or string
	List     bool   // a list of Type, with ListSeparator between the elements in CSV
	Optional bool   // may be null
	Key      bool   // one of the columns that together identify a row
	Late     bool   // the last column, which older tables lack

	about string // see About
}

// About describes the column in a table of a search space.
func (c Column) About(space cell.Space) string {
	return strings.NewReplacer(words(space)...).Replace(c.about)
}

// words lists placeholders in the tag about, and what each stands for in a space.
func words(space cell.Space) []string {
	last := strconv.Itoa(space.Count() - 1)
	return map[cell.Space][]string{
		cell.Topology{}: {"{last}", last, "{string}", "genotype string", "{schedules}", "12 and 200", "{fixed}", ""},
		cell.Size{}: {
			"{last}", last, "{string}", "string of widths, such as 8:16:24:32:40,", "{schedules}", "01, 12 and 90",
			"{fixed}", "; 0, since the widths fix the network",
		},
	}[space]
}

// ListSeparator separates the elements of a list in CSV.
const ListSeparator = ";"

// Columns describes the columns of [TrialRow], [EpochRow] or [SpaceRow], in order.
func Columns[Row any]() []Column { return columns(reflect.TypeFor[Row]()) }

func columns(row reflect.Type) []Column {
	var columns []Column
	for field := range row.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("parquet"), ",")
		c := Column{Name: name, Unit: field.Tag.Get("unit"), about: field.Tag.Get("about"), Key: field.Tag.Get("key") != "", Late: field.Tag.Get("late") != ""}
		t := field.Type
		c.List, c.Optional = t.Kind() == reflect.Slice, t.Kind() == reflect.Pointer
		if c.List || c.Optional {
			t = t.Elem()
		}
		switch t.Kind() {
		case reflect.String:
			c.Type = "string"
		case reflect.Float64:
			c.Type = "number"
		default:
			c.Type = "integer"
		}
		columns = append(columns, c)
	}
	return columns
}
