package train

import (
	"reflect"
	"strings"
	"testing"

	"nb201/configs"
	"nb201/internal/usage"
)

// A trial uses the recipe in its options, not the one that its schedule has by default. A recipe and
// settings that belong to different trials are refused.
func TestOptionsRecipe(t *testing.T) {
	o := onDigits50(t, 2, 777)
	o.Recipe.LearningRate = 0.3
	if c := resolve(t, o); !reflect.DeepEqual(c.Recipe, o.Recipe) || c.Network.Channels != o.Recipe.Channels || c.Network.Cells != o.Recipe.Cells {
		t.Errorf("the trial has the recipe %+v and the network %+v, want those of %+v", c.Recipe, c.Network, o.Recipe)
	}
	for name, change := range map[string]func(*Options){
		"channels": func(o *Options) { o.Recipe.Channels = 8 },
		"cells":    func(o *Options) { o.Settings.Cells = 2 },
		"batch":    func(o *Options) { o.Settings.Batch = 25 },
	} {
		o := onDigits50(t, 2, 777)
		change(&o)
		if _, err := o.Config(); !usage.Is(err) || !strings.HasPrefix(err.Error(), "the recipe has ") {
			t.Errorf("two values of %s: error %v", name, err)
		}
	}
}

// Invalid settings are refused before images are read.
func TestOptionsSettings(t *testing.T) {
	o := onDigits50(t, 2, 777)
	o.DataRoot = "/no/such/directory"
	for want, change := range map[string]func(*configs.Settings){
		`unknown precision "x"`:      func(s *configs.Settings) { s.Precision = "x" },
		`unknown timeline "x"`:       func(s *configs.Settings) { s.Timeline = "x" },
		`unknown parity profile "x"`: func(s *configs.Settings) { s.Parity = "x" },
		"-1 loader workers":          func(s *configs.Settings) { s.Workers = -1 },
	} {
		wrong := o
		change(&wrong.Settings)
		if _, err := wrong.Config(); !usage.Is(err) || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("error %v, want %s", err, want)
		}
	}
}
