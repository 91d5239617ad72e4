// Two hundred made-up rows through the package's own generator.
import { TinybirdGenerator } from "@tinybirdco/mockingbird";

const [endpoint, token] = process.argv.slice(2);
const generator = new TinybirdGenerator({
  endpoint,
  token,
  datasource: "visits",
  eps: 100,
  limit: 200,
  schema: {
    kind: { type: "mockingbird.pick", params: [{ values: ["a", "b"] }] },
    visits: { type: "number.int", params: [{ min: 1, max: 9 }] },
  },
});
let rows = 0;
let visits = 0;
await generator.generate((batch) => {
  rows += batch.length;
  visits += batch.reduce((sum, row) => sum + row.visits, 0);
});
console.log(JSON.stringify({ rows, visits }));
