// What a chart asks for: a short address, one so long that it becomes a POST, and one that is refused.
const path = require("node:path");

const folder = path.join(__dirname, "node_modules", "@tinybirdco", "charts", "dist", "lib");
const { chartQueryFetcher } = require(path.join(folder, "fetcher.cjs"));
const { buildEndpointUrl } = require(path.join(folder, "utils.cjs"));

const [endpoint, token] = process.argv.slice(2);

async function main() {
  const short = await chartQueryFetcher(buildEndpointUrl(endpoint, token, { without: "c" }).toString());
  const long = await chartQueryFetcher(
    buildEndpointUrl(endpoint, token, { without: "c".repeat(3000) }).toString(),
  );
  let status = 0;
  const fetched = globalThis.fetch;
  globalThis.fetch = async (...request) => {
    const answer = await fetched(...request);
    status = answer.status;
    return answer;
  };
  await chartQueryFetcher(buildEndpointUrl(endpoint, "wrong", {}).toString()).catch(() => {});
  console.log(
    JSON.stringify({
      short: short.data,
      long: long.data,
      meta: short.meta.map((column) => `${column.name} ${column.type}`),
      refused: status,
    }),
  );
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
