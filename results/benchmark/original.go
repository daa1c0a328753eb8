package benchmark

import "nb201/cell"

// Original describes the published benchmark of a search space and its client, where they differ from
// those of the other spaces.
type Original struct {
	// NATS begins the names of NATS-Bench's files; Digits, of the file's MD5, follow in the published ones.
	NATS, Digits string
	// Short is the schedule that the clients' calls use by default, Full the longest one.
	Short, Full string
	// LastOnly is set if trials may have been evaluated after the last epoch alone on some sets, and on
	// one set alone: the timeline nov2019.
	LastOnly bool
	// Untimed says what the client answers for a trial without times.
	Untimed string
	// shown lists the evaluation sets of cifar10-valid that the client's show prints, as pairs of label
	// and set.
	shown [][2]string
}

// PublishedNATS begins the names of the published NATS-Bench files.
func (o Original) PublishedNATS() string { return o.NATS + "-" + o.Digits }

// OriginalOf describes the published benchmark of a space: for the topology search space, that of
// NATS-Bench.
func OriginalOf(space cell.Space) Original {
	valid := [2]string{"valid", "x-valid"}
	return map[cell.Space]Original{
		cell.Topology{}: {
			NATS: "NATS-tss-v1_0", Digits: "3ffb9", Short: "12", Full: "200", LastOnly: true,
			Untimed: "the client returns None", shown: [][2]string{valid},
		},
		cell.Size{}: {
			NATS: "NATS-sss-v1_0", Digits: "50262", Short: "12", Full: "90",
			Untimed: "the client's get_more_info and simulate_train_eval fail", shown: [][2]string{valid, {"test", "ori-test"}},
		},
	}[space]
}
