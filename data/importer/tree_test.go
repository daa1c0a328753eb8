package importer

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nb201/data/datatest"
)

// plant makes a source of the paths: pictures, other files, and directories, which end
// in a slash.
func plant(t *testing.T, paths string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "source")
	for i, path := range strings.Fields(paths) {
		if strings.HasSuffix(path, "/") {
			if err := os.MkdirAll(filepath.Join(dir, path), 0o700); err != nil {
				t.Fatal(err)
			}
			continue
		}
		write(t, dir, map[string][]byte{path: datatest.PNG(datatest.Synth(1, 4, 1, uint64(i)))})
	}
	return dir
}

// Sets are recognised by their names, whatever the case, the prefix and the suffix, and
// notes list what is left out or descended into.
func TestTrees(t *testing.T) {
	const b = "cat, dog"
	for _, c := range []struct {
		name, paths         string
		test                float64
		classes             string
		trainPart, testPart string
		images              Images
		notes               []string
	}{
		{"Training, Testing", "Training/cat/1.png Training/dog/1.png Testing/cat/1.png Testing/dog/1.png", 0, b, "Training", "Testing", Images{Train: 2, Test: 2}, nil},
		{"test part and --test", "Training/cat/1.png Training/dog/1.png Testing/cat/1.png Testing/dog/1.png", 0.25, b, "Training", "Testing", Images{Train: 2, Test: 2},
			[]string{"--test 0.25 was ignored: the source has a test set, Testing"}},
		{"capitals", "TRAIN/cat/1.png TRAIN/dog/1.png TEST/dog/1.png", 0, b, "TRAIN", "TEST", Images{Train: 2, Test: 1}, []string{"classes without images in ori-test: cat"}},
		{"suffixes", "train_images/cat/1.png train_images/dog/1.png images-test/cat/1.png images-test/dog/1.png", 0, b, "train_images", "images-test", Images{Train: 2, Test: 2}, nil},
		{"digits and dots", "my.dataset.tr2/cat/1.png my.dataset.tr2/dog/1.png my.dataset.dev2/cat/1.png my.dataset.dev2/dog/1.png", 0, b, "my.dataset.tr2", "my.dataset.dev2", Images{Train: 2, Test: 2}, nil},
		{"joined words", "TrainSet/cat/1.png TrainSet/dog/1.png testset/cat/1.png testset/dog/1.png", 0, b, "TrainSet", "testset", Images{Train: 2, Test: 2}, nil},
		{"three parts", "train/cat/1.png train/dog/1.png test/cat/1.png test/dog/1.png valid/cat/1.png valid/dog/1.png", 0, b, "train", "test", Images{Train: 2, Test: 2}, []string{"left out, because the test set is test: valid"}},
		{"validation tests", "Train_Set/cat/1.png Train_Set/dog/1.png Validation_Set/cat/1.png Validation_Set/dog/1.png", 0, b, "Train_Set", "Validation_Set", Images{Train: 2, Test: 2}, nil},
		{"Intel", "seg_train/seg_train/cat/1.png seg_train/seg_train/dog/1.png seg_test/seg_test/cat/1.png seg_test/seg_test/dog/1.png seg_pred/seg_pred/7.png", 0, b,
			"seg_train/seg_train", "seg_test/seg_test", Images{Train: 2, Test: 2},
			[]string{"seg_train contains only the directory seg_train, which was used instead", "seg_test contains only the directory seg_test,", "left out, because it is neither a training set nor a test set: seg_pred"}},
		{"wrapper", "README.md photos/train/cat/1.png photos/train/dog/1.png photos/test/cat/1.png photos/test/dog/1.png", 0, b, "photos/train", "photos/test", Images{Train: 2, Test: 2},
			[]string{"source contains only the directory photos, which was used instead", "files skipped because they are not *.png, *.jpg or *.jpeg: 1"}},
		{"wrapper of parts", "training_data/train/cat/1.png training_data/train/dog/1.png training_data/test/cat/1.png training_data/test/dog/1.png", 0, b, "training_data/train", "training_data/test", Images{Train: 2, Test: 2},
			[]string{"source contains only the directory training_data, which was used instead"}},
		{"wrapper of classes", "archive/cat/1.png archive/cat/2.png archive/dog/1.png archive/dog/2.png", 0.5, b, "archive", "archive", Images{Train: 2, Test: 2}, []string{"source contains only the directory archive,"}},
		{"training alone", "train/cat/1.png train/cat/2.png train/dog/1.png train/dog/2.png", 0.5, b, "train", "train", Images{Train: 2, Test: 2}, nil},
		{"test without classes", "train/cat/1.png train/cat/2.png train/dog/1.png train/dog/2.png test/1.png test/2.png", 0.5, b, "train", "train", Images{Train: 2, Test: 2}, []string{"left out, because it contains no class directories: test"}},
		{"test without classes in a wrapper", "asl_train/asl_train/cat/1.png asl_train/asl_train/cat/2.png asl_train/asl_train/dog/1.png asl_train/asl_train/dog/2.png asl_test/asl_test/1.png asl_test/asl_test/2.png", 0.5, b,
			"asl_train/asl_train", "asl_train/asl_train", Images{Train: 2, Test: 2}, []string{"asl_train contains only the directory asl_train,", "left out, because it contains no class directories: asl_test"}},
		{"classes called as parts", "train/1.png train/2.png bus/1.png bus/2.png", 0.5, "bus, train", "source", "source", Images{Train: 2, Test: 2}, []string{"used as a class, because it contains pictures and no class directories: train"}},
		{"classes with such words", "test_tube/1.png test_tube/2.png train_station/1.png train_station/2.png", 0.5, "test_tube, train_station", "source", "source", Images{Train: 2, Test: 2}, []string{"used as a class, because it contains pictures and no class directories: test_tube, train_station"}},
		{"what lies about", "__MACOSX/._a.png .git/config 0.png train/0.jpg train/cat/1.png train/cat/notes.txt train/cat/.DS_Store train/dog/1.png train/dog/puppy/1.png test/cat/1.png test/dog/1.png", 0, b, "train", "test", Images{Train: 3, Test: 2},
			[]string{"directories inside class directories, whose pictures belong to the class: 1", "pictures skipped because they are not in a class directory: 2", "files skipped because they are not *.png, *.jpg or *.jpeg: 1", "hidden files and directories skipped: 3"}},
		{"a table too", "labels.csv train/cat/1.png train/dog/1.png test/cat/1.png test/dog/1.png", 0, b, "train", "test", Images{Train: 2, Test: 2}, []string{"files skipped because they are not *.png, *.jpg or *.jpeg: 1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := options(t, plant(t, c.paths))
			o.Test = c.test
			report, _ := imported(t, o)
			named := func(part string) string { return strings.TrimPrefix(part, filepath.Dir(o.Source)+"/") }
			if got := strings.Join(report.Classes, ", "); got != c.classes || named(report.Parts.Train) != c.trainPart || named(report.Parts.Test) != c.testPart || report.Images != c.images {
				t.Errorf("classes %s, parts %+v, images %+v", got, report.Parts, report.Images)
			}
			if len(report.Notes) != len(c.notes) {
				t.Errorf("notes %q, want %q", report.Notes, c.notes)
			}
			for _, want := range c.notes {
				if !slices.ContainsFunc(report.Notes, func(note string) bool { return strings.Contains(note, want) }) {
					t.Errorf("notes %q, want %q", report.Notes, want)
				}
			}
		})
	}
}

// Directories that are neither sets nor classes are refused, with the directory to name
// instead.
func TestTreesRefused(t *testing.T) {
	for _, c := range []struct {
		name, paths string
		test        float64
		want        []string
	}{
		{"folds", "fold1/cat/1.png fold1/dog/1.png fold2/cat/1.png fold2/dog/1.png", 0.25, []string{"the classes (fold1, fold2) contain only directories (cat, dog); name the directory", "such as ", "source/fold1"}},
		{"beside classes", "ant/1.png more/cat/1.png more/dog/1.png", 0.25, []string{"classes (more) contain only directories (cat, dog)", "source/more"}},
		{"in a part", "train/x/cat/1.png train/x/dog/1.png train/y/cat/1.png test/x/cat/1.png", 0, []string{"source/train: the classes (x, y) contain only directories (cat, dog)", "such as ", "source/train/x"}},
		{"deep", "images/a/b/cat/1.png images/a/b/dog/1.png labels/a/1.txt", 0.5, []string{"classes (images, labels) contain only directories (a)", "source/images/a/b"}},
		{"parts deeper", "images/train/cat/1.png images/test/cat/1.png labels/all/1.txt", 0.5, []string{"such as ", "source/images"}},
		{"parts within classes", "cat/train/1.png cat/test/1.png dog/train/1.png dog/test/1.png", 0.5, []string{"the classes (cat, dog) contain training or test sets (test, train); put the classes into the sets, as in test/cat"}},
		{"no training part", "Testing/cat/1.png Testing/dog/1.png Validation/cat/1.png", 0.5, []string{"found a test or validation set (Testing, Validation), but no training set", "source/Testing"}},
		{"two training parts", "train_a/cat/1.png train_b/cat/1.png test/cat/1.png", 0, []string{"each of train_a, train_b could be the training set"}},
		{"two test parts", "train/cat/1.png test1/cat/1.png test2/cat/1.png", 0, []string{"each of test1, test2 could be the test set"}},
		{"pictures without classes", "train/1.png train/2.png test/1.png test/2.png", 0.5, []string{"the training or test set (test, train) contains pictures but no class directories"}},
		{"as Kaggle has it", "dogs_train/1.jpg dogs_test/1.jpg", 0.5, []string{"training or test set (dogs_test, dogs_train) contains pictures"}},
		{"training without classes", "Training/1.png Testing/cat/1.png", 0, []string{"training or test set (Training) contains pictures"}},
		{"only training, without classes", "train/1.png train/2.png", 0.5, []string{"training or test set (train) contains pictures"}},
		{"nothing", "a/b/ c/d/", 0.5, []string{"classes (a, c) contain only directories (b, d); put the pictures of each class into a directory of its name"}},
		{"table and directories", "train.csv train/cat/1.png test/cat/1.png", 0, []string{"contains both a training table and class directories"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := options(t, plant(t, c.paths))
			o.Test = c.test
			refused(t, o, c.want...)
		})
	}
	t.Run("loop", func(t *testing.T) {
		source := plant(t, "a/")
		if err := os.Symlink(source, filepath.Join(source, "a", "b")); err != nil {
			t.Fatal(err)
		}
		o := options(t, source)
		o.Test = 0.5
		refused(t, o, "more than 10 deep")
	})
}

func TestRoleOf(t *testing.T) {
	for name, want := range map[string]role{
		"train": forTraining, "Training": forTraining, "TRAIN": forTraining, "seg_train": forTraining, "train_images": forTraining, "Train_Set": forTraining,
		"training_data": forTraining, "my-dataset-train": forTraining, "tr": forTraining, "data.train.2": forTraining, "train01": forTraining, "trainset": forTraining,
		"TrainImages": forTraining, "mnist_train.csv.gz": forTraining, "x_train": forTraining, "X_train": forTraining, "train train": forTraining,
		"test": forTest, "images_test": forTest, "Testing": forTest, "test-data": forTest, "testdata": forTest,
		"val": forValidation, "valid": forValidation, "Validation": forValidation, "dev": forValidation, "eval": forValidation, "val2017": forValidation,
		"": unnamed, "contest": unnamed, "latest": unnamed, "training-test": unnamed, "train_val": unnamed, "invalid": unnamed, "strain": unnamed, "dataset": unnamed, "trial": unnamed, "données": unnamed,
	} {
		if got, _ := roleOf(name); got != want {
			t.Errorf("%q: %v, want %v", name, got, want)
		}
	}
}

// The tree of a well-known set of brain scans.
func TestTrainingTesting(t *testing.T) {
	o := options(t, filepath.Join("testdata", "training-testing"))
	for test, notes := range map[float64]int{0: 0, 0.25: 1} {
		o := options(t, o.Source)
		o.Test = test
		report, _ := imported(t, o)
		if !slices.Equal(report.Classes, []string{"glioma", "healthy"}) || report.Parts != (Parts{"Training", "Testing"}) || report.Images != (Images{Train: 8, Test: 8}) || len(report.Notes) != notes {
			t.Errorf("--test %v: %+v", test, report)
		}
	}
}
