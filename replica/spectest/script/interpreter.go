package script

// body is a function's code. Addresses are as wide as the memory.
type body struct {
	a    *assembler
	code []byte
}

func (c *body) op(b ...byte) *body { c.code = append(c.code, b...); return c }

func (c *body) i32(n int) *body   { return c.op(append([]byte{0x41}, sleb(int64(n))...)...) }
func (c *body) i64(n int64) *body { return c.op(append([]byte{0x42}, sleb(n)...)...) }
func (c *body) get(n byte) *body  { return c.op(0x20, n) }
func (c *body) set(n byte) *body  { return c.op(0x21, n) }
func (c *body) call(fn int) *body { return c.op(append([]byte{0x10}, uleb(fn)...)...) }
func (c *body) addr(n int) *body {
	if c.a.wide {
		return c.i64(int64(n))
	}
	return c.i32(n)
}

// either is the instruction for addresses: of 32 or of 64 bits.
func (c *body) either(narrow, wide byte) *body {
	if c.a.wide {
		return c.op(wide)
	}
	return c.op(narrow)
}

func (c *body) add() *body { return c.either(0x6a, 0x7c) }
func (c *body) sub() *body { return c.either(0x6b, 0x7d) }

// narrow makes an address of a 64-bit number, and long the reverse.
func (c *body) narrow() *body {
	if c.a.wide {
		return c
	}
	return c.op(0xa7)
}

func (c *body) long() *body {
	if c.a.wide {
		return c
	}
	return c.op(0xad)
}

// word loads 32 bits from an address, as an address.
func (c *body) word() *body {
	if c.a.wide {
		return c.op(0x35, 2, 0) // i64.load32_u
	}
	return c.op(0x28, 2, 0)
}

// load64 and store64 take an offset below 128.
func (c *body) load64(offset int) *body { return c.op(0x29, 3, byte(offset)) }
func (c *body) store64() *body          { return c.op(0x37, 3, 0) }
func (c *body) sp() *body               { return c.op(0x23, 0) }

// pop leaves the top of the stack, as 64 bits.
func (c *body) pop() *body {
	return c.sp().addr(8).sub().op(0x24, 0).sp().load64(0)
}

// push puts local v onto the stack.
func (c *body) push() *body {
	return c.sp().get(locV).store64().sp().addr(8).add().op(0x24, 0)
}

// recurseBody is the number of the function that calls itself, among the bodies.
const recurseBody = 3

// The interpreter's locals.
const (
	locIP = iota
	locEnd
	locV  // 64 bits
	locOp // 32 bits
	locA  // an address
)

// interpreter runs the program from address local 0 to local 1.
func (a *assembler) interpreter(c *body) {
	total := firstAPI + len(Functions)
	c.op(0x02, 0x40, 0x03, 0x40) // block, loop
	c.get(locIP).get(locEnd).either(0x4f, 0x5a).op(0x0d, 1)
	c.get(locIP).op(0x2d, 0, 0).set(locOp)
	c.get(locIP).addr(1).add().set(locIP)
	for range total + 1 {
		c.op(0x02, 0x40)
	}
	c.get(locOp).op(0x0e).op(uleb(total)...)
	for i := range total + 1 {
		c.op(uleb(i)...)
	}
	for i := range total {
		c.op(0x0b)
		a.instruction(c, i)
		c.op(0x0c).op(uleb(total - i)...) // to the loop
	}
	c.op(0x0b, 0x00) // no such instruction: unreachable
	c.op(0x0b, 0x0b) // loop, block
}

func (a *assembler) instruction(c *body, i int) {
	length := func() { c.get(locIP).word() }
	ahead := func(n int) { c.get(locIP).addr(n).add().set(locIP) }
	switch i {
	case opPush:
		c.get(locIP).load64(0).set(locV).push()
		ahead(8)
	case opBlob:
		c.get(locIP).addr(4).add().long().set(locV).push()
		length()
		c.long().set(locV).push()
		c.get(locIP).addr(4).add()
		length()
		c.add().set(locIP)
	case opKeep: // kept: 8 bytes of length, then the bytes
		c.pop().set(locV)
		c.addr(nextAt).word().set(locA)
		c.get(locA).either(0x45, 0x50).op(0x04, 0x40).addr(keptAt).set(locA).op(0x0b) // the first time
		c.get(locA).get(locV).store64()
		c.get(locA).addr(8).add().pop().narrow().get(locV).narrow().op(0xfc, 0x0a, 0, 0) // memory.copy
		c.addr(nextAt).get(locA).addr(16).add().get(locV).narrow().add().long().store64()
		c.get(locA).long().set(locV).push()
	case opDrop:
		c.pop().op(0x1a)
	case opDup:
		c.pop().set(locV).push().push()
	case opLoad:
		c.pop().narrow().load64(0).set(locV).push()
	case opStore:
		c.pop().set(locV).pop().narrow().get(locV).store64()
	case opAdd:
		c.pop().pop().op(0x7c).set(locV).push()
	case opEqual:
		c.pop().pop().op(0x51, 0xad).set(locV).push()
	case opSkip:
		c.pop().op(0x50, 0x04, 0x40).get(locIP)
		length()
		c.add().set(locIP).op(0x0b)
		ahead(4)
	case opBack:
		c.pop().op(0x42, 0, 0x52, 0x04, 0x40).get(locIP)
		length()
		c.sub().set(locIP).op(0x0b)
		ahead(4)
	case opUnreachable:
		c.op(0x00)
	case opForever:
		c.op(0x03, 0x40, 0x0c, 0, 0x0b)
	case opAppendInt:
		c.addr(wordAt).pop().store64().addr(wordAt).addr(8).call(a.api("msg_reply_data_append"))
	case opGrow:
		c.pop().narrow().op(0x40, 0).long().set(locV).push()
	case opDivide:
		c.pop().set(locV).pop().get(locV).op(0x80).set(locV).push()
	case opIndirect:
		c.pop().set(locV).addr(hooksAt).get(locV).op(0xa7, 0x11).op(uleb(a.typ("p", ""))...).op(0)
	case opRecurse:
		c.call(len(a.imports) + recurseBody)
	case opHook:
		c.get(locIP).op(0x2d, 0, 0).either(0x01, 0xad).addr(hookBytes).either(0x6c, 0x7e).addr(hooksAt).add().set(locA)
		c.pop().set(locV)
		c.get(locA).get(locV).store64()
		c.get(locA).addr(8).add().pop().narrow().get(locV).narrow().op(0xfc, 0x0a, 0, 0)
		ahead(1)
	case opFill:
		c.pop().set(locV).pop().narrow().i32(1).get(locV).narrow().op(0xfc, 0x0b, 0)
	default:
		a.apiCall(c, &Functions[i-firstAPI], a.index[i-firstAPI])
	}
}

// apiCall pops the parameters, calls, and pushes the result.
func (a *assembler) apiCall(c *body, f *Function, index int) {
	if index < 0 {
		c.op(0x00) // not for this width
		return
	}
	c.sp().addr(8*len(f.Params)).sub().op(0x24, 0)
	for i, p := range f.Params {
		c.sp().load64(8 * i)
		if a.val(p) == 0x7f {
			c.op(0xa7)
		}
	}
	c.call(index)
	for _, r := range f.Results {
		if a.val(r) == 0x7f {
			c.op(0xad)
		}
		c.set(locV).push()
	}
}
