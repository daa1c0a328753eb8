package importer

import (
	"slices"
	"strconv"
	"strings"
)

// heading describes the columns of a CSV file, according to its first line.
type heading struct {
	header bool   // the line is a header, not an image
	names  bool   // the header names its columns rather than numbering them
	index  bool   // the first column is an index written by pandas, which is ignored
	label  string // name of the column of labels; empty if the header names none or several
	place  int    // number of that column from 0, not counting an index
}

// labelNames lists the names of a column of labels, in lower case.
var labelNames = []string{"label", "class", "target", "y"}

// fewest is the smallest number of numbered columns that make a header. Fewer numbers could
// be the pixels of an image.
const fewest = 4

// readHeading decides whether a line is a header or an image. A header has a name in every
// column, or numbers that count from 0 or 1, with a name or two before or after them:
// 0,1,2,..., as pandas numbers columns without names, or label,0,1,2,...
func readHeading(fields []string) heading {
	var h heading
	var names []int // columns that do not have a number
	counting, first, numbers := true, 0, 0
	for i, field := range fields {
		n, err := strconv.Atoi(strings.TrimSpace(field))
		if err != nil {
			if _, err := strconv.ParseFloat(strings.TrimSpace(field), 64); err == nil {
				counting = false // 0.1 is a value
			}
			names = append(names, i)
			continue
		}
		if numbers == 0 {
			first = n
		}
		counting = counting && first >= 0 && first <= 1 && n == first+numbers
		numbers++
	}
	h.names = numbers == 0 && counting
	h.header = h.names || counting && numbers >= fewest
	if !h.header {
		return h
	}
	if name := strings.TrimSpace(fields[0]); name == "" || strings.EqualFold(name, "Unnamed: 0") {
		h.index = true
		fields, names = fields[1:], names[1:]
		for i := range names {
			names[i]--
		}
	}
	var labels []int
	for _, i := range names {
		if slices.Contains(labelNames, strings.ToLower(strings.TrimSpace(fields[i]))) {
			labels = append(labels, i)
		}
	}
	if !h.names && len(names) == 1 {
		labels = names // the only name among numbered columns is that of the labels
	}
	if len(labels) == 1 {
		h.place = labels[0]
		h.label = strings.TrimSpace(fields[h.place])
	}
	return h
}
