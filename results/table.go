package results

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"nb201/configs"
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

// TrialColumns describes the columns of TrialRow, in order.
func TrialColumns() []Column { return columns(reflect.TypeFor[TrialRow]()) }

// EpochColumns describes the columns of EpochRow, in order.
func EpochColumns() []Column { return columns(reflect.TypeFor[EpochRow]()) }

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

// AppendCSV appends the fields of the row to a record of CSV. Floats read back exactly.
// Text that a spreadsheet would take for a formula gets an apostrophe in front unless it
// is to be raw; it reads back without.
func (r *TrialRow) AppendCSV(record []string, raw bool) []string { return appendCSV(record, r, raw) }

// AppendCSV appends the fields of the row as TrialRow.AppendCSV does.
func (r *EpochRow) AppendCSV(record []string, raw bool) []string { return appendCSV(record, r, raw) }

// formula matches text that spreadsheets calculate (OWASP, CSV Injection), with apostrophes
// in front or not.
var formula = regexp.MustCompile(`^'*[=+\-@\t\r]`)

// cellText is how text stands in a cell: what is a formula begins with an apostrophe,
// which textOf takes away. Raw text does only where it could be such a cell.
func cellText(text string, raw bool) string {
	if formula.MatchString(text) && (!raw || text[0] == '\'') {
		return "'" + text
	}
	return text
}

func textOf(cell string) string {
	if cell != "" && cell[0] == '\'' && formula.MatchString(cell) {
		return cell[1:]
	}
	return cell
}

func appendCSV(record []string, row any, raw bool) []string {
	float := func(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }
	for _, field := range reflect.ValueOf(row).Elem().Fields() {
		var text string
		switch v := field.Interface().(type) {
		case string:
			text = cellText(v, raw)
		case int:
			text = strconv.Itoa(v)
		case uint32:
			text = strconv.FormatUint(uint64(v), 10)
		case float64:
			text = float(v)
		case *float64:
			if v != nil {
				text = float(*v)
			}
		case []string:
			texts := make([]string, len(v))
			for i, s := range v {
				texts[i] = cellText(s, raw)
			}
			text = strings.Join(texts, ListSeparator)
		case []float64:
			texts := make([]string, len(v))
			for i, f := range v {
				texts[i] = float(f)
			}
			text = strings.Join(texts, ListSeparator)
		}
		record = append(record, text)
	}
	return record
}

// parseCSV sets the fields of a row from the fields of a record of CSV.
func parseCSV(row any, record []string) error {
	fields := reflect.ValueOf(row).Elem()
	for i, text := range record {
		err := parseField(fields.Field(i), text)
		if err != nil {
			c := columns(fields.Type())[i]
			kind := c.Type
			if c.List {
				kind = "list of numbers, with " + ListSeparator + " between them"
			}
			why := ""
			if errors.Is(err, strconv.ErrRange) {
				why = " within its range"
			}
			return fmt.Errorf("column %d, %s: %.40q is not a %s%s", i+1, c.Name, text, strings.Replace(kind, "integer", "whole number", 1), why)
		}
	}
	return nil
}

func parseField(field reflect.Value, text string) (err error) {
	if text == "" {
		switch field.Kind() {
		case reflect.Pointer, reflect.Slice:
			return nil
		}
	}
	switch v := field.Addr().Interface().(type) {
	case *string:
		*v = textOf(text)
	case *int:
		*v, err = strconv.Atoi(text)
	case *uint32:
		var n uint64
		n, err = strconv.ParseUint(text, 10, 32)
		*v = uint32(n)
	case *float64:
		*v, err = strconv.ParseFloat(text, 64)
	case **float64:
		*v = new(float64)
		**v, err = strconv.ParseFloat(text, 64)
	case *[]string:
		for s := range strings.SplitSeq(text, ListSeparator) {
			*v = append(*v, textOf(s))
		}
	case *[]float64:
		for text := range strings.SplitSeq(text, ListSeparator) {
			f, err := strconv.ParseFloat(text, 64)
			if err != nil {
				return err
			}
			*v = append(*v, f)
		}
	}
	return err
}

// Rows are the rows of an architecture in the tables of the formats Parquet and CSV.
// They share memory with a.
func (a *Architecture) Rows() ([]TrialRow, []EpochRow) {
	var trials []TrialRow
	var epochs []EpochRow
	for _, schedule := range a.Schedules {
		for _, r := range schedule.Results {
			row := TrialRow{
				Architecture: r.Arch, Genotype: r.Genotype, Dataset: r.Dataset, Schedule: schedule.HP, Epochs: r.Epochs, Seed: r.Seed,
				Channels: r.Channels, Cells: r.Cells, Classes: r.Classes, FLOPs: r.FLOPs, Params: r.Params, Latencies: r.Latencies,
			}
			epochs = r.Training.appendRows(epochs, row, TrainingSet)
			for _, e := range r.Evaluation {
				row.EvaluationSets = append(row.EvaluationSets, e.Set)
				epochs = e.appendRows(epochs, row, e.Set)
			}
			trials = append(trials, row)
		}
	}
	return trials, epochs
}

// appendRows appends a row for each epoch in which anything was measured.
func (m *Measures) appendRows(rows []EpochRow, trial TrialRow, set string) []EpochRow {
	first := len(rows)
	for _, s := range []struct {
		series Series
		field  func(*EpochRow) **float64
	}{{m.Loss, (*EpochRow).loss}, {m.Top1, (*EpochRow).top1}, {m.Top5, (*EpochRow).top5}, {m.Seconds, (*EpochRow).seconds}} {
		at := first // series and rows both ascend
		for i := range s.series {
			p := &s.series[i]
			for at < len(rows) && rows[at].Epoch < p.Epoch {
				at++
			}
			if at == len(rows) || rows[at].Epoch > p.Epoch {
				rows = slices.Insert(rows, at, EpochRow{
					Architecture: trial.Architecture, Dataset: trial.Dataset, Schedule: trial.Schedule, Seed: trial.Seed, Set: set, Epoch: p.Epoch,
				})
			}
			*s.field(&rows[at]) = &p.Value
		}
	}
	return rows
}

func (r *EpochRow) loss() **float64    { return &r.Loss }
func (r *EpochRow) top1() **float64    { return &r.Top1 }
func (r *EpochRow) top5() **float64    { return &r.Top5 }
func (r *EpochRow) seconds() **float64 { return &r.Seconds }

// rowKey names a trial in the tables of an architecture.
type rowKey struct {
	dataset, schedule string
	seed              uint32
}

// NewArchitecture is the inverse of Rows, for the rows of one architecture in any
// order. An error says which rows do not fit together.
func NewArchitecture(trials []TrialRow, epochs []EpochRow) (*Architecture, error) {
	if len(trials) == 0 {
		return nil, fmt.Errorf("no trial")
	}
	index := trials[0].Architecture
	a, err := newArchitecture(index)
	if err != nil {
		return nil, err
	}
	found := map[rowKey]*ResultsCount{}
	for i := range trials {
		row := &trials[i]
		key := rowKey{row.Dataset, row.Schedule, row.Seed}
		r, err := row.resultsCount(a)
		if err != nil {
			return nil, err
		}
		if found[key] != nil {
			return nil, fmt.Errorf("%v, schedule %q: a second row of the trial", r.Trial, row.Schedule)
		}
		found[key] = r
		a.put(row.Schedule, r)
	}
	for _, s := range a.Schedules {
		slices.SortFunc(s.Results, func(a, b *ResultsCount) int { return a.Compare(b.Trial) })
	}
	slices.SortFunc(a.Schedules, func(a, b *ArchResults) int {
		return cmp.Or(a.Results[0].Epochs-b.Results[0].Epochs, cmp.Compare(a.HP, b.HP))
	})
	epochs = slices.Clone(epochs)
	slices.SortStableFunc(epochs, func(a, b EpochRow) int { return cmp.Compare(a.Epoch, b.Epoch) })
	for i := range epochs {
		row := &epochs[i]
		if err := row.addTo(found[rowKey{row.Dataset, row.Schedule, row.Seed}]); err != nil {
			return nil, fmt.Errorf("epoch %d of set %q of dataset %q, schedule %q, seed %d: %w", row.Epoch, row.Set, row.Dataset, row.Schedule, row.Seed, err)
		}
	}
	return a, nil
}

// resultsCount is the trial of a row without what was measured.
func (row *TrialRow) resultsCount(a *Architecture) (*ResultsCount, error) {
	r := &ResultsCount{
		Trial:    Trial{row.Architecture, row.Dataset, row.Epochs, row.Seed},
		Genotype: row.Genotype, Channels: row.Channels, Cells: row.Cells, Classes: row.Classes,
		FLOPs: row.FLOPs, Params: row.Params, Latencies: row.Latencies,
	}
	if len(r.Latencies) == 0 {
		r.Latencies = nil
	}
	if err := r.Trial.Check(); err != nil {
		return nil, err
	}
	if row.Architecture != a.Index || row.Genotype != a.Genotype {
		return nil, fmt.Errorf("%v: genotype %.80q is not that of architecture %d, %s", r.Trial, row.Genotype, a.Index, a.Genotype)
	}
	for _, set := range row.EvaluationSets {
		if err := configs.CheckName(set); err != nil {
			return nil, fmt.Errorf("%v: evaluation set %w", r.Trial, err)
		}
		if _, twice := r.Set(set); twice || set == TrainingSet {
			return nil, fmt.Errorf("%v: evaluation set %s stands there twice", r.Trial, set)
		}
		r.Evaluation = append(r.Evaluation, SetMeasures{Set: set})
	}
	return r, nil
}

// addTo adds what the row tells to its trial, nil when there is none. Rows come in
// order of their epochs.
func (row *EpochRow) addTo(r *ResultsCount) error {
	if r == nil {
		return fmt.Errorf("the table %s has no such trial", TrialsTable)
	}
	if row.Epoch < 0 || row.Epoch >= r.Epochs {
		return fmt.Errorf("the trial has %d epochs", r.Epochs)
	}
	m := &r.Training
	if row.Set != TrainingSet {
		var ok bool
		if m, ok = r.Set(row.Set); !ok {
			return fmt.Errorf("the trial has no such evaluation set")
		}
	}
	for _, v := range []struct {
		series *Series
		value  *float64
	}{{&m.Loss, row.Loss}, {&m.Top1, row.Top1}, {&m.Top5, row.Top5}, {&m.Seconds, row.Seconds}} {
		if v.value == nil {
			continue
		}
		if n := len(*v.series); n > 0 && (*v.series)[n-1].Epoch == row.Epoch {
			return fmt.Errorf("a second value")
		}
		*v.series = append(*v.series, Point{row.Epoch, *v.value})
	}
	return nil
}
