//! The template language inside SQL bodies: tags and expressions as a tree with spans, so that parameters, docs and branches are known without rendering.
