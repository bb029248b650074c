package config

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// EnvPrefix starts the name of every environment variable of the configuration.
const EnvPrefix = "QUIPU_"

// setting is one field of Config, as its tags describe it. Path leads to the field.
type setting struct {
	Flag, Default, Unit, Min, Max, Help string
	OneOf                               []string
	Type                                reflect.Type
	Path                                []int
}

// Key is the setting's name in the file, in messages and in the printed form.
func (s setting) Key() string { return strings.ReplaceAll(s.Flag, "-", "_") }

// Env is the setting's environment variable.
func (s setting) Env() string { return EnvPrefix + strings.ToUpper(s.Key()) }

// Secret says that the value is never printed.
func (s setting) Secret() bool { return s.Type == reflect.TypeFor[Secret]() }

// settings lists the fields of Config in the order of the struct.
func settings() []setting { return collect(reflect.TypeFor[Config](), nil) }

func collect(t reflect.Type, path []int) []setting {
	var out []setting
	for i := range t.NumField() {
		f := t.Field(i)
		at := append(append([]int(nil), path...), i)
		if _, embedded := f.Tag.Lookup("embed"); embedded {
			out = append(out, collect(f.Type, at)...)
			continue
		}
		s := setting{
			Flag: f.Tag.Get("name"), Default: f.Tag.Get("default"), Unit: f.Tag.Get("unit"),
			Min: f.Tag.Get("min"), Max: f.Tag.Get("max"), Help: f.Tag.Get("help"),
			Type: f.Type, Path: at,
		}
		if words := f.Tag.Get("oneof"); words != "" {
			s.OneOf = strings.Split(words, ",")
		}
		out = append(out, s)
	}
	return out
}

// Default returns the configuration with nothing set.
func Default() Config {
	var c Config
	v := reflect.ValueOf(&c).Elem()
	for _, s := range settings() {
		if err := parseInto(v.FieldByIndex(s.Path), s.Default); err != nil {
			panic("config: the default of " + s.Flag + " " + err.Error()) // a programmer's error, found by any test
		}
	}
	return c
}

// parseInto reads text as every source spells it. The error is a fault, worded to follow the name.
func parseInto(target reflect.Value, text string) error {
	switch target.Interface().(type) {
	case time.Duration:
		d, err := time.ParseDuration(text)
		if err != nil {
			return fmt.Errorf("%q is not a duration; write it like 1.5s, 10m or 24h", text)
		}
		target.SetInt(int64(d))
		return nil
	case []string:
		target.Set(reflect.ValueOf(splitList(text)))
		return nil
	}
	switch target.Kind() {
	case reflect.Int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("%q is not a whole number; write digits only, without a unit", text)
		}
		target.SetInt(int64(n))
	case reflect.Bool:
		switch strings.ToLower(text) {
		case "true", "1", "yes":
			target.SetBool(true)
		case "false", "0", "no":
			target.SetBool(false)
		default:
			return fmt.Errorf("%q is neither true nor false", text)
		}
	case reflect.String:
		target.SetString(text)
	default:
		panic("config: no way to read a " + target.Type().String())
	}
	return nil
}

// splitList reads a comma-separated list; blanks around items and empty items do not count.
func splitList(text string) []string {
	var out []string
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item != "" {
			out = append(out, item)
		}
	}
	return out
}
