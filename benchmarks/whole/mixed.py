"""Rendered objects, whole (bent a little) and mixed on purpose: cut together, torn, parts moved, doubled, grafted, erased.

    WORK=eye ART=art PYTHONPATH=.:benchmarks/whole python benchmarks/whole/mixed.py 100 train.npz 5     # per class; and 4 g4.npz 1
"""

import os
WORK = os.environ["WORK"]
import sys, os, time, numpy as np, torch
from pathlib import Path
from PIL import Image, ImageEnhance
from scipy.ndimage import map_coordinates, gaussian_filter
from seediff.mini.scenes import CLASSES, PLACES
from seediff.mini.quality import reconstructed
from seediff.models.registry import load_model
from recipes.mini.world import _class_sprites, draw_background
art=Path(os.environ['ART'])
S=128
def field(rng,n,cells,amp):
    "smooth displacement (2,n,n) pixels"
    return np.stack([np.asarray(Image.fromarray(rng.normal(0,1,(cells,cells)).astype(np.float32)).resize((n,n),Image.Resampling.BICUBIC)) for _ in range(2)])*amp
def warp(rgba,f):
    n=rgba.shape[0]; y,x=np.mgrid[:n,:n]
    return np.stack([map_coordinates(rgba[...,c],[y+f[0],x+f[1]],order=1,mode='constant') for c in range(4)],-1)
def blob(rng,n,at=None,size=None):
    "soft-edged ellipse-ish region (n,n)"
    cy,cx=at if at is not None else rng.uniform(.2,.8,2)*n
    ry,rx=(size or 1)*rng.uniform(.1,.28,2)*n; t=rng.uniform(0,np.pi)
    y,x=np.mgrid[:n,:n]; u=(x-cx)*np.cos(t)+(y-cy)*np.sin(t); v=-(x-cx)*np.sin(t)+(y-cy)*np.cos(t)
    p=rng.choice([2,2,6]); d=(np.abs(u/rx)**p+np.abs(v/ry)**p)**(1/p)
    return np.clip((1-d)*min(rx,ry)/rng.uniform(1.5,5)+.5,0,1)
def point(rng,a):
    ys,xs=np.nonzero(a>.5); k=rng.integers(len(ys)); return ys[k],xs[k]
def shift(img,d): return np.stack([np.roll(np.roll(img[...,c],int(d[0]),0),int(d[1]),1) for c in range(img.shape[-1])],-1)
def over(top,bottom): return top+bottom*(1-top[...,3:])
def canvas(rng,im,N=176):
    "premultiplied (N,N,4) in [0,1], sprite scaled to long side 128"
    k=128/max(im.size)*rng.uniform(.92,1.0); w,h=max(4,round(im.width*k)),max(4,round(im.height*k))
    im=im.resize((w,h),Image.Resampling.BICUBIC).rotate(float(rng.uniform(-12,12)),Image.Resampling.BICUBIC,expand=True)
    a=np.asarray(im,np.float32)/255; a=a.copy(); a[...,:3]*=a[...,3:]
    out=np.zeros((N,N,4),np.float32); h,w=a.shape[:2]; h,w=min(h,N),min(w,N)
    t,l=(N-h)//2,(N-w)//2; out[t:t+h,l:l+w]=a[:h,:w]; return out
def mixed(rng,one,pick):
    N=one.shape[0]; L=128
    kind=rng.choice(['cut','halves','double','move','graft','erase','over','tear','strong'],p=[.16,.06,.17,.2,.13,.08,.05,.1,.05])
    other=pick()
    if rng.random()<.3: other=other[:,::-1]
    th=rng.uniform(0,np.pi); y,x=np.mgrid[:N,:N]
    cy,cx=point(rng,one[...,3]); cy,cx=(cy+N/2)/2,(cx+N/2)/2
    side=np.clip(((x-cx)*np.cos(th)+(y-cy)*np.sin(th))/rng.uniform(1,6)+.5,0,1)[...,None]
    d=rng.uniform(.1,.3)*L; an=rng.uniform(0,2*np.pi); D=(d*np.sin(an),d*np.cos(an))
    if kind=='cut': return one*side+shift(other,np.multiply(D,rng.choice([0,.6])))*(1-side)
    if kind=='halves':
        s=np.clip((x-cx)/3+.5,0,1)[...,None]; m=one[:,::-1]; off=int(round(2*cx-N)); m=shift(m,(0,off)); return one*s+m*(1-s) if rng.random()<.5 else m*s+one*(1-s)
    if kind=='tear': return one*side+shift(one,np.multiply(D,.7))*(1-side)
    if kind=='over': return over(other*rng.uniform(.35,.65),one)
    b=blob(rng,N,point(rng,one[...,3]))[...,None]
    part=one*b
    if kind=='double': return over(shift(part,np.multiply(D,1.4)),one) if rng.random()<.6 else over(one,shift(part,np.multiply(D,1.8)))
    if kind=='move': return over(shift(part,D),one*(1-b))
    if kind=='graft': return one*(1-b)+shift(other,np.multiply(D,rng.choice([0,.5])))*b
    if kind=='erase': return one*(1-b)
    return warp(one,field(rng,N,6,rng.uniform(9,14)))
def compose(rng,obj):
    "object premultiplied (N,N,4) → (S,S,3) uint8"
    a=obj[...,3]; ys,xs=np.nonzero(a>.1)
    if len(ys)<50: return None
    obj=obj[ys.min():ys.max()+1,xs.min():xs.max()+1]
    # size as the one object of a scene; drawings sit anywhere and may touch the edge
    long=S*rng.uniform(.5,.95); k=long/max(obj.shape[:2]); h,w=max(8,round(obj.shape[0]*k)),max(8,round(obj.shape[1]*k))
    o=np.stack([np.asarray(Image.fromarray(obj[...,c]).resize((w,h),Image.Resampling.BOX if k<1 else Image.Resampling.BICUBIC)) for c in range(4)],-1).clip(0,1)
    gain=rng.uniform(.8,1.15)*rng.uniform(.92,1.08,3); o=o.copy()
    sat=rng.uniform(.75,1.2); g=o[...,:3].mean(-1,keepdims=True); o[...,:3]=((g+(o[...,:3]-g)*sat)*gain).clip(0,1)
    t,l=rng.integers(-4,max(1,S-h+5)-0),rng.integers(-4,max(1,S-w+5))
    bg=draw_background(rng,rng.choice(list(PLACES)) if rng.random()<.4 else None,(S,S)).astype(np.float32)/255
    full=np.zeros((S,S,4),np.float32); y0,x0=max(t,0),max(l,0); y1,x1=min(t+h,S),min(l+w,S)
    full[y0:y1,x0:x1]=o[y0-t:y1-t,x0-l:x1-l]
    soft=rng.uniform(0,1.3); full=np.stack([gaussian_filter(full[...,c],soft) for c in range(4)],-1)
    return (255*(full[...,:3]+bg*(1-full[...,3:]))).clip(0,255).round().astype(np.uint8)
def make(name,index,bad,seed=5,split='train'):
    rng=np.random.default_rng((seed,CLASSES.index(name),index,bad)); table=_class_sprites(art,name,split)
    pick=lambda: canvas(rng,table[rng.integers(len(table))][0])
    one=pick(); N=one.shape[0]
    one=warp(one,field(rng,N,5,rng.uniform(0,4.5)))
    if bad: one=mixed(rng,one,pick)
    out=compose(rng,one)
    return out if out is not None else make(name,index+100000,bad,seed,split)
if __name__=='__main__':
    n=int(sys.argv[1]); out=f'{WORK}/{sys.argv[2]}'; seed=int(sys.argv[3]); split=sys.argv[4] if len(sys.argv)>4 else 'train'; t=time.time()
    m=load_model('mini'); ims,cls,bad=[],[],[]
    for i in range(n):
        for b in (0,1):
            for k,c in enumerate(CLASSES): ims.append(make(c,i,b,seed,split));cls.append(k);bad.append(b)
        if i%10==0: print(i,round(time.time()-t),flush=True)
    ims=np.stack(ims); print('rendered',len(ims),round(time.time()-t),flush=True)
    k=np.random.default_rng(9).random(len(ims))<.4; r=ims.copy(); r[k]=reconstructed(m,list(ims[k])); print('ae',round(time.time()-t),flush=True)
    np.savez(out,images=r,cls=np.array(cls),bad=np.array(bad))
