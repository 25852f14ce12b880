// ilp-packet as a process that a test drives: JSON lines on stdin and stdout.
//
// In:  {"encode": {"type": 12, ...}}   Out: {"raw": "<hex>"} or {"error": "..."}
// In:  {"decode": "<hex>"}             Out: {"packet": {"type": 12, ...}} or {"error": "..."}
'use strict'
const readline = require('readline')
const ilp = require('ilp-packet')

const hex = (text) => Buffer.from(text, 'hex')
const read = {
  12: (p) => ({ amount: p.amount, expiresAt: new Date(p.expiresAt), executionCondition: hex(p.condition), destination: p.destination, data: hex(p.data) }),
  13: (p) => ({ fulfillment: hex(p.fulfillment), data: hex(p.data) }),
  14: (p) => ({ code: p.code, triggeredBy: p.triggeredBy, message: p.message, data: hex(p.data) })
}
const show = {
  12: (p) => ({ amount: p.amount, expiresAt: p.expiresAt.getTime(), condition: p.executionCondition.toString('hex'), destination: p.destination, data: p.data.toString('hex') }),
  13: (p) => ({ fulfillment: p.fulfillment.toString('hex'), data: p.data.toString('hex') }),
  14: (p) => ({ code: p.code, triggeredBy: p.triggeredBy, message: p.message, data: p.data.toString('hex') })
}

const answer = (asked) => {
  if (asked.encode) {
    const { type } = asked.encode
    return { raw: ilp.serializeIlpPacket({ type, data: read[type](asked.encode) }).toString('hex') }
  }
  const { type, data } = ilp.deserializeIlpPacket(hex(asked.decode))
  return { packet: { type, ...show[type](data) } }
}

readline.createInterface({ input: process.stdin }).on('line', (line) => {
  let told
  try {
    told = answer(JSON.parse(line))
  } catch (error) {
    told = { error: error.message }
  }
  process.stdout.write(JSON.stringify(told) + '\n')
}).on('close', () => process.exit(0))
