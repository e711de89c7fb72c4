"""Captions of the figures."""

CAPTIONS = {
    "samples": "Images of every sampler from the same noise and labels (the column titles), first seed,"
    " uncurated: images 0, 1, 2, ... of each set. A sweep is shown by its first member.",
    "nearest": "Samples above their nearest training images, with the distance in grey levels, and the"
    " distribution of these distances for every sampler and for test images. Memorised samples would lie"
    " much closer to the training images than test images do.",
    "trajectory": "Test images on their way through the flow to noise, and back from the same noise through"
    " the exact inverse and the learned reverses; white where a reverse predicts no state. Grey scale from"
    " -3 to 3.",
    "inpainting": "Inpainting of test images, first seed, uncurated. Hatched pixels are replaced by noise"
    " before the flow, so nothing of them reaches the results. Below each sampler's own output the same with"
    " the known pixels pasted back.",
    "class_editing": "Test images sent to noise with their own class (framed) and back as every class, first"
    " seed, uncurated.",
    "quality_speed": "Frechet distance to the reference images against latency at batch 1; down and left is"
    " better. Hollow: images with the flow's training noise. Black edge: a tuned tolerance. Bars are 95%"
    " intervals: of distances over seeds where there are at least three, else over samples; of times over"
    " processes. Grey: the Pareto front. Lines: real images.",
    "sample_size": "Frechet distance against the number of samples, means over seeds. Distances fall with n"
    " whoever draws the samples, so only those at equal n can be compared. Open markers at infinity are"
    " extrapolations with their intervals, where there are enough samples. A sampler that draws the images"
    " of an earlier one is left out.",
    "training": "Validation measures of the EMA weights during training, one line a seed: negative"
    " log-likelihood of noisy images for flows, reconstruction error for reverses. Evaluations do not count"
    " as training time.",
    "speedup": "Speed-up over the fastest exact inverse of the same flow at the same batch size, guidance"
    " scale and kind of output, with 95% intervals over pairs of processes; up is better. Hollow and dashed:"
    " images with the flow's training noise. Black edge: a tuned tolerance. Sweeps are left out.",
    "tolerance": "Time per image of iterative inverses against their squared error; down and left is better."
    " Lines: tolerances, dotted where the number of iterations is fixed. Stars: as published; crosses:"
    " the tuned tolerance, the largest that leaves the Frechet distance alone. Hollow: not denoised."
    " Horizontal lines: exact inverses. Errors below 1e-12 are rounding.",
    "iterations": "Left: fixed-point iterations of each flow block until convergence; a block solved token"
    " by token counts one a token. Right: what the convergence ranking measure (CRM) of GS-Jacobi, and its"
    " product with the smaller initial guessing measure (IGM), predict.",
    "guidance": "Frechet distance and label accuracy against the guidance scale, means over seeds with a"
    " band of one standard deviation; a scale without all seeds is a gap. Every point is drawn from the same"
    " noise and labels. Dashed curve: a loss of its training has seen these features.",
    "training_time": "Frechet distance against the seconds of reverse training, without evaluations. Thick:"
    " the exact inverse, denoised, of a flow that trained for the same total time, interpolated as a power"
    " law between the flows measured (squares); dotted: half its distance. Dashed curve: a loss of its"
    " training has seen these features, so it is no fair comparison.",
}
