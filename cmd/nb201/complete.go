package main

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"nb201/cell"
	"nb201/configs"
	"nb201/data"
	"nb201/data/download"
	"nb201/internal/backend"
	"nb201/internal/plugin"
	"nb201/results"
	"nb201/results/export"
	"nb201/scheduler/plan"
)

// This file completes command lines in the shell: nb201 completion prints the scripts that call it. A
// completion reads names of files only, and the definitions in this program. It opens no published
// file, which may have to be indexed, and no device.

// flagValues completes the values of flags. A name after a command, as in "query --seed", goes before
// one without. Each flag that takes a value has one, even if that is nothing: TestCompletionDecisions
// fails otherwise.
var flagValues = map[string]cobra.CompletionFunc{
	"--account":              nothing,
	"--against":              files(),
	"--archs":                someArchitectures,
	"--bandwidth":            nothing,
	"--batch":                nothing,
	"--cells":                nothing,
	"--channels":             nothing,
	"--checkpoint-every":     nothing,
	"--chunk":                nothing,
	"--claim":                nothing,
	"--cpus":                 nothing,
	"--crop-padding":         nothing,
	"--csv":                  files("csv"),
	"data import --like":     datasetKeys,
	"--data":                 directories,
	"--dataset":              datasetKeys,
	"arch --dataset":         listOf(datasetKeys),
	"latency --dataset":      listOf(datasetKeys),
	"query --dataset":        ofTrials(func(t results.Trial) string { return t.Dataset }, configs.BenchmarkKeys()...),
	"--datasets":             listOf(datasetKeys),
	"--device":               words("cpu", "cuda"),
	"setup --device":         words(plugin.Devices()...),
	"--devices":              listOf(runDevices),
	"plan --devices":         nothing,
	"--elements":             nothing,
	"--epoch":                nothing,
	"--epochs":               words("12", "200", "90"),
	"plan --epochs":          listOf(words("12", "200", "90")),
	"query --epochs":         schedules,
	"--flop":                 nothing,
	"--format":               exportedFormats,
	"data get --format":      words(download.Versions()...),
	"--from":                 files(),
	"data imagenet16 --from": directories,
	"--from-trial":           nothing,
	"--full":                 schedules,
	"--gpu":                  words(backend.GPUs()...),
	"--gpus":                 nothing,
	"--hang-after":           nothing,
	"--host":                 nothing,
	"--image":                nothing,
	"--label":                words("first", "last"),
	"--labels":               files(),
	"--latency":              files("json"),
	"--less":                 schedules,
	"--like":                 directories,
	"--line":                 nothing,
	"--listed":               words(texts(export.AllListings())...),
	"--listen":               nothing,
	"--load":                 files(),
	"--max-attempts":         nothing,
	"--max-flops":            nothing,
	"--max-params":           nothing,
	"--max-running":          nothing,
	"--mem":                  nothing,
	"--metrics":              nothing,
	"--min-free-disk":        nothing,
	"--mirror":               nothing,
	"--module":               nothing,
	"--name":                 nothing,
	"--out":                  directories,
	"--parity":               words(texts(configs.Parities())...),
	"--parquet":              files("parquet"),
	"--partition":            nothing,
	"--path":                 nothing, // in a volume that is not mounted here
	"--per-device":           nothing,
	"--plot":                 files("svg", "png"),
	"--precision":            words(texts(configs.Precisions())...),
	"--prepare-within":       nothing,
	"--preset":               words(plan.Presets()...),
	"--rate":                 nothing,
	"--recipe":               recipes,
	"plan --recipe":          listOf(recipes),
	"--repeat":               nothing,
	"--report":               files("html"),
	"--sbatch":               nothing,
	"--schedule":             schedules,
	"--schedules":            listOf(schedules),
	"--seed":                 publishedSeeds,
	"data import --seed":     nothing,
	"query --seed":           ofTrials(func(t results.Trial) string { return fmt.Sprint(t.Seed) }, "777", "888", "999", "111"),
	"--seeds":                listOf(publishedSeeds),
	"--severities":           words("5"),
	"--set":                  words("train", "x-valid", "x-test", "ori-test", "valid", "test"),
	"--size":                 nothing,
	"--space":                searchSpaces,
	"--svg":                  files("svg"),
	"--test":                 nothing,
	"--time":                 nothing,
	"--timeline":             words(string(configs.Dec2019), string(configs.Nov2019)),
	"--times":                words(texts(export.AllTimes())...),
	"--to":                   files(),
	"evaluate --to":          directories,
	"report --to":            files("html"),
	"data imagenet16 --to":   directories,
	"man --to":               directories,
	"data import --to":       directories,
	"--token-file":           files(),
	"--trained-on":           listOf(datasetKeys),
	"--valid-seed":           nothing,
	"--warn":                 nothing,
	"--weights":              words("keep", "drop"),
	"--workers":              nothing,
}

// arguments completes the arguments of each command that has any, by its name.
var arguments = map[string]cobra.CompletionFunc{
	"arch":         without("all", first(allArchitectures)),
	"compare":      first(files(), files()),
	"data check":   first(datasetKeys),
	"data get":     first(downloadedKeys),
	"data import":  first(files()),
	"data list":    files("json"),
	"evaluate":     first(files()),
	"export":       first(files()),
	"init":         first(allArchitectures),
	"init-weights": first(allArchitectures),
	"kernels":      first(allArchitectures),
	"latency":      first(allArchitectures),
	"plan":         first(directories),
	"query":        first(files(), without("best", heldArchitectures)),
	"report":       first(files()),
	"serve":        first(files()),
	"recipe check": files("json"),
	"recipe list":  recipes,
	"recipe show":  first(recipes),
	"run":          first(directories),
	"slurm":        first(directories),
	"status":       first(directories),
	"train":        first(allArchitectures),
	"verify":       first(files()),
	"worker":       first(directories),
}

// addCompletions makes c and the commands below it complete their arguments and the values of their
// flags.
func addCompletions(c *cobra.Command) {
	name := commandName(c)
	if complete, ok := arguments[name]; ok {
		c.ValidArgsFunction = matching(complete)
	} else if !c.HasSubCommands() {
		c.ValidArgsFunction = nothing
	}
	c.Flags().VisitAll(func(f *pflag.Flag) {
		complete, ok := flagValues[name+" --"+f.Name]
		if !ok {
			complete, ok = flagValues["--"+f.Name]
		}
		if ok && f.NoOptDefVal == "" {
			if err := c.RegisterFlagCompletionFunc(f.Name, matching(complete)); err != nil {
				panic(err) // the flag exists, and has no other
			}
		}
	})
	for _, below := range c.Commands() {
		addCompletions(below)
	}
}

// describeCompletion words the help of cobra's command completion and of those below it.
func describeCompletion(c *cobra.Command) {
	c.Short = "Print a script that completes command lines in a shell"
	c.Long = `completion prints a script for a shell, which then completes commands, flags and their values:
dataset keys, formats, and the architectures, schedules and seeds of a campaign. make install
installs the scripts.`
	load := map[string]string{
		"bash": `  source <(nb201 completion bash)      # in this shell
  nb201 completion bash > ~/.local/share/bash-completion/completions/nb201`,
		"zsh":        `  nb201 completion zsh > "${fpath[1]}/_nb201"      # before compinit runs`,
		"fish":       `  nb201 completion fish > ~/.config/fish/completions/nb201.fish`,
		"powershell": `  nb201 completion powershell | Out-String | Invoke-Expression`,
	}
	for _, shell := range c.Commands() {
		shell.Short = "Print the script for " + shell.Name()
		shell.Long = "completion " + shell.Name() + " prints the script that completes the command lines of nb201 in " + shell.Name() + "."
		if shell.Name() == "bash" {
			shell.Long += "\nIt needs the package bash-completion."
		}
		shell.Example = load[shell.Name()]
	}
}

// matching leaves out what does not begin with the text typed: not all shells do.
func matching(complete cobra.CompletionFunc) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		list, directive := complete(c, args, typed)
		if directive&cobra.ShellCompDirectiveFilterFileExt == 0 { // else the list has extensions
			list = slices.DeleteFunc(slices.Clone(list), func(s string) bool { return !strings.HasPrefix(s, typed) })
		}
		return list, directive
	}
}

// nothing says that a value cannot be guessed: the shell completes no files either.
var nothing cobra.CompletionFunc = cobra.NoFileCompletions

// directories completes names of directories.
func directories(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveFilterDirs
}

// files completes names of directories, and of files with one of the extensions, or of all files if
// there are none.
func files(extensions ...string) cobra.CompletionFunc {
	directive := cobra.ShellCompDirectiveDefault
	if extensions != nil {
		directive = cobra.ShellCompDirectiveFilterFileExt
	}
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return extensions, directive
	}
}

// words completes one of a few words, in the order given.
func words(list ...string) cobra.CompletionFunc {
	return cobra.FixedCompletions(list, cobra.ShellCompDirectiveNoFileComp|cobra.ShellCompDirectiveKeepOrder)
}

// texts returns the names in a list of them.
func texts[T ~string](list []T) []string {
	var names []string
	for _, v := range list {
		names = append(names, string(v))
	}
	return names
}

// first completes the first arguments, each by a function, and no more of them.
func first(each ...cobra.CompletionFunc) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		if len(args) >= len(each) {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return each[len(args)](c, args, typed)
	}
}

// without completes arguments by a function, and none after a flag that replaces them.
func without(flag string, complete cobra.CompletionFunc) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		if c.Flags().Changed(flag) {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return complete(c, args, typed)
	}
}

// listOf completes the last item of a list that is separated by commas. It does not repeat items.
func listOf(item cobra.CompletionFunc) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		cut := strings.LastIndexByte(typed, ',') + 1
		before := typed[:cut]
		found, directive := item(c, args, typed[cut:])
		given := strings.Split(before, ",")
		var list []string
		for _, candidate := range found {
			value, _, _ := strings.Cut(candidate, "\t")
			switch {
			case cut == 0:
				list = append(list, candidate)
			case !slices.Contains(given, value): // without its description: bash then finds no candidate with a comma
				list = append(list, before+value)
			}
		}
		return list, directive | cobra.ShellCompDirectiveNoSpace
	}
}

// datasetKeys completes the dataset keys, and the paths of definition files.
func datasetKeys(c *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	root := data.DefaultRoot(os.Getenv)
	if f := c.Flags().Lookup("data"); f != nil && f.Changed {
		root = f.Value.String()
	}
	return promptly(func() (list []string, _ cobra.ShellCompDirective) {
		for _, key := range configs.Datasets() {
			d, err := data.Published(key)
			if err != nil {
				continue
			}
			about := fmt.Sprintf("%d classes of %dx%d", d.Classes, d.Size[0], d.Size[0])
			if _, _, err := d.Where(root); err != nil {
				about += ", no images found"
			}
			list = append(list, cobra.CompletionWithDesc(key, about))
		}
		list = slices.DeleteFunc(list, func(key string) bool { return !strings.HasPrefix(key, typed) })
		paths := definitionPaths(typed)
		if len(list)+len(paths) == 0 {
			return directoriesBelow(typed), cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
		}
		return append(list, paths...), cobra.ShellCompDirectiveNoFileComp
	})
}

// searchSpaces completes the names of the search spaces.
func searchSpaces(*cobra.Command, []string, string) (list []string, directive cobra.ShellCompDirective) {
	for _, space := range cell.Spaces() {
		list = append(list, cobra.CompletionWithDesc(space.Name().String(), space.Title()))
	}
	return list, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
}

// recipes completes the names of the published recipes, and the paths of recipe files.
func recipes(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	return promptly(func() ([]string, cobra.ShellCompDirective) {
		list := append(slices.DeleteFunc(configs.Recipes(), func(name string) bool { return !strings.HasPrefix(name, typed) }), definitionPaths(typed)...)
		if len(list) == 0 {
			return directoriesBelow(typed), cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
		}
		return list, cobra.ShellCompDirectiveNoFileComp
	})
}

// definitionPaths lists the definition files whose paths begin with typed.
func definitionPaths(typed string) []string {
	return entriesBelow(typed, func(_ string, e os.DirEntry) string {
		if filepath.Ext(e.Name()) != ".json" || e.IsDir() {
			return ""
		}
		return e.Name()
	})
}

// directoriesBelow lists the directories whose paths begin with typed.
func directoriesBelow(typed string) []string {
	return entriesBelow(typed, func(dir string, e os.DirEntry) string {
		if !isDir(filepath.Join(dir, e.Name())) { // links count
			return ""
		}
		return e.Name() + "/"
	})
}

// entriesBelow lists the entries of a directory whose paths begin with typed, as name returns them; ""
// leaves one out. Hidden entries count if typed has their dot.
func entriesBelow(typed string, name func(dir string, e os.DirEntry) string) (list []string) {
	dir, begun := filepath.Split(typed)
	entries, err := os.ReadDir(cmp.Or(dir, "."))
	if err != nil {
		return nil
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), begun) || begun == "" && strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if shown := name(dir, e); shown != "" {
			list = append(list, dir+shown)
		}
	}
	return list
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// downloadedKeys completes the dataset keys that data get downloads, or explains how to get.
func downloadedKeys(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return configs.BenchmarkKeys(), cobra.ShellCompDirectiveNoFileComp
}

// exportedFormats completes the formats of export.
func exportedFormats(*cobra.Command, []string, string) (list []string, directive cobra.ShellCompDirective) {
	for _, t := range export.AllTraits() {
		about, _, _ := strings.Cut(strings.ReplaceAll(t.About, "\n", " "), ", ")
		list = append(list, cobra.CompletionWithDesc(string(t.Format), about))
	}
	return list, cobra.ShellCompDirectiveNoFileComp
}

// publishedSeeds completes the seeds of the published benchmark.
var publishedSeeds = words("777", "888", "999", "111")

// runDevices completes the devices of run: the CPU, and the GPUs for which the driver has a file.
func runDevices(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	list := []string{"cpu", "visible"}
	nodes, _ := filepath.Glob("/dev/nvidia[0-9]*") // the pattern is well formed
	for _, node := range nodes {
		list = append(list, "cuda:"+strings.TrimPrefix(node, "/dev/nvidia"))
	}
	return list, cobra.ShellCompDirectiveNoFileComp
}

// someArchitectures completes --archs, which also takes files.
func someArchitectures(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return []string{cobra.CompletionWithDesc("unique", "the first architecture of each isomorphism class")}, cobra.ShellCompDirectiveDefault
}

// allArchitectures completes an index of which at least three digits are typed: fewer would list
// thousands of architectures.
func allArchitectures(c *cobra.Command, _ []string, typed string) (list []string, directive cobra.ShellCompDirective) {
	space := cell.Default()
	if given := c.Flags().Lookup("space"); given != nil && given.Changed {
		name, _ := cell.ParseName(given.Value.String()) // Set accepted it
		space = name.Space()
	}
	begun, err := strconv.Atoi(typed)
	if err != nil || len(typed) < 3 || typed != strconv.Itoa(begun) {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	for from, to := begun, begun+1; from < space.Count(); from, to = from*10, to*10 {
		for i := from; i < min(to, space.Count()); i++ {
			list = append(list, describedArchitecture(space, i))
		}
	}
	return list, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
}

// describedArchitecture returns an index with the string of the architecture as its description.
func describedArchitecture(space cell.Space, index int) string {
	a, err := space.ByIndex(index)
	if err != nil {
		return strconv.Itoa(index)
	}
	return cobra.CompletionWithDesc(strconv.Itoa(index), a.String())
}

// heldArchitectures completes the architectures of the campaign that the first argument names. Of
// published files it completes the architectures that exist.
func heldArchitectures(c *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	return promptly(func() (list []string, directive cobra.ShellCompDirective) {
		space, held, ok := architecturesOf(args[0])
		if !ok {
			return allArchitectures(c, args, typed)
		}
		for _, index := range held {
			if strings.HasPrefix(strconv.Itoa(index), typed) {
				list = append(list, describedArchitecture(space, index))
			}
		}
		return list, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
	})
}

// architecturesOf lists the architectures of a campaign, from the names of its folders, and returns their search
// space. ok is false if path is something else.
func architecturesOf(path string) (space cell.Space, held []int, ok bool) {
	if !isDir(filepath.Join(path, "trials")) {
		return nil, nil, false
	}
	space, held, err := results.Campaign{Dir: path}.Architectures()
	return space, held, err == nil
}

// schedules completes the schedules of a benchmark's trials.
var schedules = ofTrials(func(t results.Trial) string { return t.Schedule() }, "12", "200")

// ofTrials completes a property of the trials of the campaign that the first argument names: those of
// the architecture that the second one names, or else of the first 32 architectures. Of other
// benchmarks it completes the published values.
func ofTrials(property func(results.Trial) string, published ...string) cobra.CompletionFunc {
	const most = 32
	return func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		const directive = cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
		if len(args) == 0 {
			return published, directive
		}
		return promptly(func() ([]string, cobra.ShellCompDirective) {
			space, held, ok := architecturesOf(args[0])
			if !ok {
				return published, directive
			}
			if len(args) > 1 {
				if a, err := cell.Resolve(space, args[1]); err == nil {
					held = []int{a.Index()}
				}
			}
			var list []string
			for _, index := range held[:min(len(held), most)] {
				trials, _ := results.Campaign{Dir: args[0]}.TrialsOf(space, index) // what cannot be read is not completed
				for _, t := range trials {
					if value := property(t); !slices.Contains(list, value) {
						list = append(list, value)
					}
				}
			}
			return list, directive
		})
	}
}

// patience is how long a completion waits for a file system.
const patience = 2 * time.Second

// promptly returns what complete returns, or nothing if a file system does not answer in time.
func promptly(complete func() ([]string, cobra.ShellCompDirective)) ([]string, cobra.ShellCompDirective) {
	type completed struct {
		list      []string
		directive cobra.ShellCompDirective
	}
	done := make(chan completed, 1)
	go func() { // ends with the process if the file system never answers
		list, directive := complete()
		done <- completed{list, directive}
	}()
	select {
	case c := <-done:
		return c.list, c.directive
	case <-time.After(patience):
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
}
