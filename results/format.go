package results

// Format is a form in which a benchmark is kept: a campaign or a published format.
type Format string

const (
	// CampaignFormat is a campaign directory; see Campaign.
	CampaignFormat Format = "campaign"
	// Runs is a directory of folders of a schedule each, with a torch checkpoint for
	// each architecture and seed, arch-NNNNNN-seed-SSSS.pth, weights included: what
	// the original's exps/NAS-Bench-201/main.py leaves.
	Runs Format = "runs"
	// Archive is a directory with two torch checkpoints for each architecture:
	// NNNNNN-FULL.pth with weights, NNNNNN-SIMPLE.pth without. It is what
	// NASBench201API.reload reads.
	Archive Format = "archive"
	// NASBench201 is one torch checkpoint of all architectures, without weights: what
	// NASBench201API opens.
	NASBench201 Format = "nasbench201"
	// NATS is NATS-Bench's topology search space: a directory of meta.pickle.pbz2 and
	// NNNNNN.pickle.pbz2, or all of them in one NAME.pickle.pbz2.
	NATS Format = "nats"
	// Parquet and CSV are a directory of two tables: a row a trial, and a row an
	// epoch and set of images.
	Parquet Format = "parquet"
	CSV     Format = "csv"
)
