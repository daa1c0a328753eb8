package train

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"nb201/cell"
	"nb201/configs"
	"nb201/data"
	"nb201/data/datatest"
)

// BenchmarkStep runs training steps over batches of 256. It reports the CPU seconds of a step, the
// time that the host takes to feed the device ("host-ms/step"), and the peak memory of the process.
// Only the peak memory includes compiling.
func BenchmarkStep(b *testing.B) {
	for _, test := range []struct{ arch, cells, size int }{{0, 1, 32}, {1462, 1, 32}, {0, 5, 32}, {0, 5, 64}} {
		b.Run(fmt.Sprintf("arch=%d/N=%d/%dx%d", test.arch, test.cells, test.size, test.size), func(b *testing.B) {
			c := onClasses(b, 10, test.size, false)
			var err error
			if c.Network.Arch, err = (cell.Topology{}).ByIndex(test.arch); err != nil {
				b.Fatal(err)
			}
			const batch, steps = 256, 10
			if c.Data, err = data.New(c.Definition, map[string]*data.Images{
				"train": datatest.Synth(steps*batch, test.size, 10, 1), "test": datatest.Synth(batch, test.size, 10, 2),
			}); err != nil {
				b.Fatal(err)
			}
			if c.Recipe, err = configs.RecipeFor(1 + b.N); err != nil {
				b.Fatal(err)
			}
			c.Network.Channels, c.Network.Cells, c.Recipe.Batch = 16, test.cells, batch
			c.Trial.Epochs = c.Recipe.Epochs
			began, measured := 0.0, 0.0
			o, err := runAlone(b.Context(), b, c, func(p Progress) {
				switch now := cpuSeconds(b); {
				case p.Stage != "train":
					began = now
					b.ResetTimer()
				case p.Epoch > 0 && p.Batch == steps-1:
					measured += now - began
				}
			})
			if err != nil {
				b.Fatal(err)
			}
			count := float64(steps * b.N)
			b.ReportMetric(measured/count, "cpu-s/step")
			b.ReportMetric(o.Host.Seconds()*1000/(count+steps), "host-ms/step")
			b.ReportMetric(float64(resources(b).Maxrss)/1024, "peak-MiB")
		})
	}
}

func resources(b *testing.B) (u syscall.Rusage) {
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u
}

func cpuSeconds(b *testing.B) float64 {
	u := resources(b)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}
