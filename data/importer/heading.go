package importer

import (
	"slices"
	"strconv"
	"strings"
)

// heading is what the first line of a CSV file says of its columns.
type heading struct {
	header bool   // it is a header, not an image
	names  bool   // which names its columns, rather than numbering them
	index  bool   // the first column is the index that pandas writes; it counts for nothing
	label  string // name of the column of labels; empty: it names none, or several
	place  int    // of that column, after an index
}

// labelNames are what a column of labels is called, in small letters.
var labelNames = []string{"label", "class", "target", "y"}

// fewest is how many columns must be numbered before they make a header: fewer could be
// the pixels of an image.
const fewest = 4

// readHeading decides whether a line is a header or an image. A header has a name in every column, or
// numbers counting from 0 or 1, with a name or two before or after them: 0,1,2,...,
// as pandas numbers columns without names, or label,0,1,2,...
func readHeading(fields []string) heading {
	var h heading
	var names []int // places of the columns that no number stands for
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
		labels = names // among numbered columns the one with a name is no pixel
	}
	if len(labels) == 1 {
		h.place = labels[0]
		h.label = strings.TrimSpace(fields[h.place])
	}
	return h
}
