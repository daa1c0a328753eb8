package tables

import (
	"reflect"
	"strings"
)

// The two tables of the formats Parquet and CSV together hold all that a
// ResultsCount tells but for the weights. In both, rows of an architecture stand
// together, and Architecture, Dataset, Schedule and Seed name the trial. The tag key
// marks the columns that name a row together, unit is the unit of a column, about says
// what it holds.
type (
	// TrialRow is a row of the table trials: one trial.
	TrialRow struct {
		Architecture   int       `parquet:"architecture,delta" key:"yes" about:"official index, 0..15624"`
		Genotype       string    `parquet:"genotype,dict" about:"the architecture as a string"`
		Dataset        string    `parquet:"dataset,dict" key:"yes" about:"dataset key"`
		Schedule       string    `parquet:"schedule,dict" key:"yes" about:"name of the training recipe: 12 and 200 in the benchmark"`
		Epochs         int       `parquet:"epochs,dict" about:"of the training"`
		Seed           uint32    `parquet:"seed,dict" key:"yes" about:"that the training was run with"`
		Channels       int       `parquet:"channels,dict" about:"C: of the first stage"`
		Cells          int       `parquet:"cells,dict" about:"N: cells in a stage"`
		Classes        int       `parquet:"classes,dict" about:"of the dataset"`
		FLOPs          float64   `parquet:"flops_millions" unit:"millions" about:"multiply-adds of one image"`
		Params         float64   `parquet:"params_millions" unit:"millions" about:"parameters"`
		Latencies      []float64 `parquet:"latency_seconds_per_batch_of_256,list" unit:"seconds" about:"evaluation steps of 256 images each; none: not measured"`
		EvaluationSets []string  `parquet:"evaluation_sets,list" about:"names in the table epochs, in order"`
	}
	// EpochRow is a row of the table epochs: what was measured on a set of images in
	// an epoch of a trial.
	EpochRow struct {
		Architecture int      `parquet:"architecture,delta" key:"yes" about:"official index, 0..15624"`
		Dataset      string   `parquet:"dataset,dict" key:"yes" about:"dataset key"`
		Schedule     string   `parquet:"schedule,dict" key:"yes" about:"name of the training recipe"`
		Seed         uint32   `parquet:"seed,dict" key:"yes" about:"that the training was run with"`
		Set          string   `parquet:"set,dict" key:"yes" about:"train: the training pass, measured before each update; else an evaluation set"`
		Epoch        int      `parquet:"epoch,delta" key:"yes" about:"from 0"`
		Loss         *float64 `parquet:"loss,optional" unit:"nats" about:"mean cross entropy; null: not kept"`
		Top1         *float64 `parquet:"top1_percent,optional" unit:"percent" about:"accuracy, 0..100; null: not kept"`
		Top5         *float64 `parquet:"top5_percent,optional" unit:"percent" about:"accuracy, 0..100; null: not kept"`
		Seconds      *float64 `parquet:"seconds,optional" unit:"seconds" about:"wall time of the whole pass; null: not kept"`
	}
)

// Names of the tables. The training passes are the set TrainingSet.
const (
	TrialsTable = "trials"
	EpochsTable = "epochs"
)

// Column describes a column of a table.
type Column struct {
	Name, Unit, About string
	Type              string // integer, number or string
	List              bool   // of Type; ListSeparator divides it in CSV
	Optional          bool   // may be null
	Key               bool   // of those that name a row
}

// ListSeparator stands between the elements of a list in CSV.
const ListSeparator = ";"

// Columns describes the columns of TrialRow or EpochRow, in order.
func Columns[Row any]() []Column { return columns(reflect.TypeFor[Row]()) }

func columns(row reflect.Type) []Column {
	var columns []Column
	for field := range row.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("parquet"), ",")
		c := Column{Name: name, Unit: field.Tag.Get("unit"), About: field.Tag.Get("about"), Key: field.Tag.Get("key") != ""}
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
