//! Tables of the plan pipeline.
