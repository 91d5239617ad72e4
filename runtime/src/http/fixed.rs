//! What a JWT fixes of a request: the parameters of the pipes that it reads, whatever the request says.

use pipewright_compiler::graph::{Graph, NodeId, Vertex};
use pipewright_compiler::plan::Plan;

use super::access::Access;
use super::error::ApiError;
use super::parameters::Parameters;

/// Fixes what is fixed for a node that is run: as in a query over both, a pipe that is read on the way keeps what is fixed for it.
pub(super) fn fix(
    parameters: &mut Parameters,
    access: &Access,
    plan: &Plan,
    node: &NodeId,
) -> Result<(), ApiError> {
    if access.fixed.is_empty() {
        return Ok(());
    }
    let graph = &plan.graph;
    let closure = graph.closure(&Vertex::Node(node.clone()));
    let can_read = |name: &str| {
        closure
            .iter()
            .any(|vertex| is_of(vertex, name) || reads_any(graph, vertex))
    };
    parameters.fix(&access.fixed_for(can_read)?);
    Ok(())
}

fn is_of(vertex: &Vertex, pipe: &str) -> bool {
    matches!(vertex, Vertex::Node(id) if id.pipe.to_string() == pipe)
}

/// Whether it is a node that may read any pipe or data source there is, because a template computes a name in it.
pub(super) fn reads_any(graph: &Graph, vertex: &Vertex) -> bool {
    let Vertex::Node(id) = vertex else {
        return false;
    };
    let reads = graph.reads.get(id);
    reads.is_some_and(|reads| reads.computes_names)
}
