package wasm

import "testing"

func TestDemangle(t *testing.T) {
	for name, want := range map[string]string{
		"plain":  "plain",
		"$_main": "$_main",
		"":       "",
		"_ZN4core9panicking5panic17h0123456789abcdefE": "core::panicking::panic",
		"ZN3foo3barE": "foo::bar",
		"_ZN71_$LT$Test$u20$$u2b$$u20$$u27$static$u20$as$u20$foo..Bar$LT$Test$GT$$GT$3bar17h930b740aa94f1d3aE": "<Test + 'static as foo::Bar<Test>>::bar",
		"_ZN9ic_cdk_rs28_$u7b$$u7b$closure$u7d$$u7d$17h0000000000000000E":                                      "ic_cdk_rs::{{closure}}",
		"_ZN3foo17h0123456789abcdeE": "_ZN3foo17h0123456789abcdeE", // ends inside
		"_ZN99foo":                   "_ZN99foo",
		"_ZNE":                       "_ZNE",
		"_ZN0E":                      "_ZN0E",
		"_ZN3f$oE":                   "f$o",
		"_ZN5f$ux$E":                 "f$ux$",
		"_ZN99999999999999999999aE":  "_ZN99999999999999999999aE",
	} {
		if got := Demangle(name); got != want {
			t.Errorf("%q is %q, want %q", name, got, want)
		}
	}
}

func FuzzDemangle(f *testing.F) {
	f.Add("_ZN4core9panicking5panic17h0123456789abcdefE")
	f.Add("_ZN28_$u7b$$u7b$closure$u7d$$u7d$E")
	f.Fuzz(func(t *testing.T, name string) {
		if got := Demangle(name); len(got) > len(name) {
			t.Errorf("%q became %q", name, got)
		}
	})
}
