package tables

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"
)

// AppendCSV appends the fields of the row to a CSV record. Floats read back exactly. Unless raw
// is set, text that a spreadsheet would take for a formula gets a leading apostrophe, which
// [ParseCSV] removes.
func (r *TrialRow) AppendCSV(record []string, raw bool) []string { return appendCSV(record, r, raw) }

// AppendCSV appends the fields of the row to a CSV record, as [TrialRow.AppendCSV] does.
func (r *EpochRow) AppendCSV(record []string, raw bool) []string { return appendCSV(record, r, raw) }

// AppendCSV appends the fields of the row to a CSV record, as [TrialRow.AppendCSV] does.
func (r *SpaceRow) AppendCSV(record []string, raw bool) []string { return appendCSV(record, r, raw) }

// formula matches text that spreadsheets evaluate (OWASP, CSV Injection), with or without
// leading apostrophes.
var formula = regexp.MustCompile(`^'*[=+\-@\t\r]`)

// escapeCell returns text as a CSV cell: a formula gets a leading apostrophe. Raw text gets one
// only if it already has one, so that unescapeCell can be applied to it too.
func escapeCell(text string, raw bool) string {
	if formula.MatchString(text) && (!raw || text[0] == '\'') {
		return "'" + text
	}
	return text
}

// unescapeCell is the inverse of escapeCell.
func unescapeCell(cell string) string {
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
			text = escapeCell(v, raw)
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
				texts[i] = escapeCell(s, raw)
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

// ParseCSV sets the fields of row, a pointer to a [TrialRow], [EpochRow] or [SpaceRow], from a CSV
// record with one field for each column, or without the late ones. Errors name the column.
func ParseCSV(row any, record []string) error {
	fields := reflect.ValueOf(row).Elem()
	for i, text := range record {
		err := parseField(fields.Field(i), text)
		if err != nil {
			c := columns(fields.Type())[i]
			kind := c.Type
			if c.List {
				kind = "list of numbers separated by " + ListSeparator
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
		*v = unescapeCell(text)
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
			*v = append(*v, unescapeCell(s))
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
