package export

import (
	"encoding/csv"
	"errors"
	"io"

	"nb201/cell"
	"nb201/results/tables"
)

// Space is the table of the whole search space: for each architecture, in the official order, a row
// for each of some datasets, with the costs of the network.
type Space struct {
	space cell.Space
	rows  []tables.SpaceRow
}

// SpaceDataset describes the images of a dataset, as far as costs depend on them.
type SpaceDataset struct {
	Key           string
	Classes, Size int
}

// NewSpace makes the table for networks of some channels in the first stage and cells per stage. An
// impossible network is a usage error.
func NewSpace(space cell.Space, channels, cells int, datasets []SpaceDataset) (*Space, error) {
	s := &Space{space, make([]tables.SpaceRow, 0, space.Count()*len(datasets))}
	for i, a := range space.All() {
		row := tables.SpaceRow{Architecture: i, Genotype: a.String(), Class: a.Class(), Channels: channels, Cells: cells}
		for _, d := range datasets {
			n := cell.Network{Arch: a, Channels: channels, Cells: cells, Classes: d.Classes, Size: d.Size}
			if err := n.Validate(); err != nil {
				return nil, err
			}
			row.Dataset, row.Classes, row.Size, row.FLOPs, row.Params = d.Key, d.Classes, d.Size, n.FLOPs(), n.Params()
			s.rows = append(s.rows, row)
		}
	}
	return s, nil
}

// WriteCSV writes the table in CSV. Its floats read back exactly.
func (s *Space) WriteCSV(w io.Writer) error {
	out := csv.NewWriter(w)
	record := columnNames(tables.Columns[tables.SpaceRow]())
	if err := out.Write(record); err != nil {
		return err
	}
	for i := range s.rows {
		record = s.rows[i].AppendCSV(record[:0], false)
		if err := out.Write(record); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

// WriteParquet writes the table in Parquet, with descriptions of its columns as in the tables of
// trials and epochs.
func (s *Space) WriteParquet(w io.Writer) error {
	about := metadata(s.space, "a row for each architecture of the search space and dataset", tables.Columns[tables.SpaceRow]())
	out := newParquetWriter[tables.SpaceRow](w, about...)
	_, err := out.Write(s.rows)
	return errors.Join(err, out.Close())
}
