package records

import (
	_ "embed"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

//go:embed testdata/records.proto
var definitions string

var (
	messageLine = regexp.MustCompile(`message (\w+) \{`)
	fieldLine   = regexp.MustCompile(`(repeated |optional )?(\w+) (\w+) = (\d+);`)
)

var scalars = map[string]descriptorpb.FieldDescriptorProto_Type{
	"bytes": descriptorpb.FieldDescriptorProto_TYPE_BYTES, "string": descriptorpb.FieldDescriptorProto_TYPE_STRING,
	"bool": descriptorpb.FieldDescriptorProto_TYPE_BOOL, "int32": descriptorpb.FieldDescriptorProto_TYPE_INT32,
	"uint32": descriptorpb.FieldDescriptorProto_TYPE_UINT32, "uint64": descriptorpb.FieldDescriptorProto_TYPE_UINT64,
}

// schema is records.proto as Google's implementation wants it.
var schema = sync.OnceValues(func() (protoreflect.MessageDescriptors, error) {
	file := &descriptorpb.FileDescriptorProto{Name: proto.String("records.proto"), Package: proto.String("records"), Syntax: proto.String("proto3")}
	for _, block := range strings.Split(definitions, "\nmessage ")[1:] {
		block = "message " + block
		m := &descriptorpb.DescriptorProto{Name: &messageLine.FindStringSubmatch(block)[1]}
		for _, f := range fieldLine.FindAllStringSubmatch(block, -1) {
			number, _ := strconv.Atoi(f[4])
			d := &descriptorpb.FieldDescriptorProto{Name: &f[3], Number: proto.Int32(int32(number)), Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum()}
			if scalar, ok := scalars[f[2]]; ok {
				d.Type = &scalar
			} else {
				d.Type, d.TypeName = descriptorpb.FieldDescriptorProto_TYPE_MESSAGE.Enum(), proto.String(".records."+f[2])
			}
			switch f[1] {
			case "repeated ":
				d.Label = descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum()
			case "optional ":
				d.Proto3Optional, d.OneofIndex = proto.Bool(true), proto.Int32(int32(len(m.OneofDecl)))
				m.OneofDecl = append(m.OneofDecl, &descriptorpb.OneofDescriptorProto{Name: proto.String("_" + f[3])})
			}
			m.Field = append(m.Field, d)
		}
		file.MessageType = append(file.MessageType, m)
	}
	d, err := protodesc.NewFile(file, nil)
	if err != nil {
		return nil, err
	}
	return d.Messages(), nil
})

// kinds are the messages that stand alone, by their names in the IC.
var kinds = map[string]func() Message{
	"SubnetRecord": func() Message { return new(Subnet) }, "SubnetListRecord": func() Message { return new(SubnetList) },
	"SubnetId": func() Message { return new(SubnetID) }, "NodeRecord": func() Message { return new(Node) },
	"ApiBoundaryNodeRecord": func() Message { return new(Boundary) }, "PublicKey": func() Message { return new(PublicKey) },
	"CatchUpPackageContents": func() Message { return new(CUP) }, "RoutingTable": func() Message { return new(RoutingTable) },
	"ReplicaVersionRecord": func() Message { return new(Version) }, "RegistryAtomicMutateRequest": func() Message { return new(Mutations) },
	"RegistryGetChangesSinceResponse": func() Message { return new(Changes) }, "Authority": func() Message { return new(Authority) },
	"Signed": func() Message { return new(Signed) },
}

func dynamic(t testing.TB, name string) *dynamicpb.Message {
	t.Helper()
	all, err := schema()
	if err != nil {
		t.Fatal(err)
	}
	d := all.ByName(protoreflect.Name(name))
	if d == nil {
		t.Fatalf("%s is not in records.proto", name)
	}
	return dynamicpb.NewMessage(d)
}
