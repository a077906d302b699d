package storetest

import "reflect"

// scribble changes everything that can be reached from a value through maps, slices and pointers.
func scribble(v any) { scribbleOn(reflect.ValueOf(v)) }

func scribbleOn(v reflect.Value) {
	switch v.Kind() {
	case reflect.Interface, reflect.Pointer:
		if v.IsNil() {
			return
		}
		scribbleOn(v.Elem())
		if v.Kind() == reflect.Pointer {
			v.Elem().SetZero()
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				scribbleOn(v.Field(i))
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			scribbleOn(v.Index(i))
			v.Index(i).SetZero()
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			scribbleOn(v.MapIndex(key))
		}
		v.Clear()
		if v.Type().Key().Kind() == reflect.String && !v.IsNil() {
			v.SetMapIndex(reflect.ValueOf("scribble").Convert(v.Type().Key()), reflect.Zero(v.Type().Elem()))
		}
	}
}
